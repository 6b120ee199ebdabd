#compdef freqq

_freqq_completion() {
  eval $(env _TYPER_COMPLETE_ARGS="${words[1,$CURRENT]}" _FREQQ_COMPLETE=complete_zsh freqq)
}

compdef _freqq_completion freqq
