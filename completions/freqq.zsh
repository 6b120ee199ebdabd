#compdef freqq

_freqq_completion() {
  eval $(env _TYPER_COMPLETE_ARGS="${words[1,$CURRENT]}" _FREQQ_COMPLETE=complete_zsh freqq)
}

if [[ $zsh_eval_context[-1] == loadautofunc ]]; then
  _freqq_completion "$@"
else
  compdef _freqq_completion freqq
fi
