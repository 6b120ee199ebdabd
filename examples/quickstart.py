"""Read a chat as page images with the embedded model, with and without compression of its vision tokens."""

import freqq

sample = next(freqq.mini(needles=2, limit=1, seed=1))
pages = list(freqq.render(sample))
print(f"{len(pages)} pages:\n{pages[0].text}\n\nquestion: {sample.question}\nanswer:   {sample.answer}")

reader = freqq.load_reader("tiny")
grids = reader.see(pages)
print(f"plain:    {reader.answer(sample.question, grids, max_new_tokens=64).text}")

for level in ("ultra_mild", "aggressive", "extreme"):
    compressor = freqq.compressor("token", level)
    compressed = [compressor.compress(grid) for grid in grids]
    stored = sum(len(c.payload or b"") for c in compressed)
    answer = reader.answer(sample.question, compressed, max_new_tokens=64)
    score = freqq.grade(answer.text, sample.answer, sample.prefix).score
    print(f"{level:10}: {answer.text}  (score {score:.2f}, {stored / 1e3:.1f} KB of tokens)")
