#include "generate/running.h"

#include <algorithm>
#include <cmath>
#include <cstring>

#include "generate/speculation.h"
#include "kernels/rows.h"

namespace mynah::generation {

bool Run::ends(const Running& s, int32_t token) const {
  if (std::find(config.eos_token_id.begin(), config.eos_token_id.end(), token) != config.eos_token_id.end()) return true;
  if (constraint && constraint->complete(constraint->next(s.state, token))) return true;
  if (config.stop_strings.empty()) return false;
  std::vector<int32_t> tokens = s.tokens;
  tokens.push_back(token);
  return stops.ends(tokens);
}

bool Run::out_of_time() const {
  return config.max_time && std::chrono::duration<double>(std::chrono::steady_clock::now() - start).count() > *config.max_time;
}

void Record::put(std::vector<Tensor>* steps, int64_t step, int64_t row, std::span<const float> values) const {
  while (static_cast<int64_t>(steps->size()) <= step) steps->push_back(Tensor::zeros({rows, vocabulary}, DType::f32));
  std::memcpy((*steps)[static_cast<size_t>(step)].data<float>() + row * vocabulary, values.data(), values.size_bytes());
}

Progress Running::progress() const {
  return {tokens, prompt_length(), prompt->max_length, prompt->source ? prompt->encoded : prompt->tokens};
}

Running::Running(const Run& run, const Prompt& p) : prompt(&p), tokens(p.tokens), memory(run.decoder.memory(p.source)), pending(p.seen) {
  memory.media = p.media;
  if (run.constraint) state = run.constraint->start();
  if (run.config.guidance_scale == 1.0f) return;
  negative = run.decoder.memory();
  negative->offset = p.negative_offset;
  negative_pending = p.negative;
}

void Running::push(const Run& run, int32_t token) {
  if (run.constraint) state = run.constraint->next(state, token);
  tokens.push_back(token);
  pending.push_back(token);
  if (negative) negative_pending.push_back(token);
}

Running Running::fork() const {
  Running copy(*prompt, memory.fork());
  copy.tokens = tokens;
  copy.pending = pending;
  copy.state = state;
  if (negative) copy.negative = negative->fork();
  copy.negative_pending = negative_pending;
  copy.log_probability = log_probability;
  return copy;
}

std::span<float> Logits::row(int64_t i) { return {rows.data<float>() + i * rows.size(1), static_cast<size_t>(rows.size(1))}; }

std::span<const float> Logits::negative_row(int64_t i) const {
  if (!negative.defined()) return {};
  return {negative.data<float>() + i * negative.size(1), static_cast<size_t>(negative.size(1))};
}

std::vector<Running> begin(Run& run, std::span<const Prompt> prompts, int64_t copies, Logits* logits) {
  std::vector<Running> leaders, all;
  leaders.reserve(prompts.size());
  std::vector<Running*> active;
  for (const Prompt& p : prompts) {
    leaders.emplace_back(run, p);
    leaders.back().row = static_cast<int64_t>(active.size()) * copies;
    active.push_back(&leaders.back());
  }
  *logits = compute(run, active);
  for (size_t i = 0; i < leaders.size(); ++i)
    for (int64_t copy = 0; copy < copies; ++copy) {
      all.push_back(copy + 1 < copies ? leaders[i].fork() : std::move(leaders[i]));
      all.back().row = static_cast<int64_t>(all.size()) - 1;
      all.back().stream = all.back().prompt->stream.value_or(all.size() - 1);
      if (run.config.output_logits) run.record.put(&run.record.logits, 0, all.back().row, logits->row(static_cast<int64_t>(i)));
    }
  return all;
}

Logits compute(Run& run, std::span<Running* const> sequences) {
  Logits out;
  std::vector<Decoder::Piece> pieces;
  for (Running* s : sequences) pieces.push_back({&s->memory, s->pending});
  out.rows = run.decoder.run(pieces);
  if (sequences[0]->negative) {
    for (size_t i = 0; i < sequences.size(); ++i) pieces[i] = {&*sequences[i]->negative, sequences[i]->negative_pending};
    out.negative = run.decoder.run(pieces);
  }
  for (size_t i = 0; i < sequences.size(); ++i) {
    Running& s = *sequences[i];
    s.pending.clear();
    s.negative_pending.clear();
    if (run.config.output_logits) run.record.put(&run.record.logits, s.generated(), s.row, out.row(static_cast<int64_t>(i)));
  }
  return out;
}

void score(Run& run, const Running& s, std::span<float> scores, std::span<const float> negative) {
  run.scorer.process(s.progress(), scores, negative, [&](std::span<float> row) {
    if (run.constraint) run.constraint->apply(s.state, s.prompt->max_length - static_cast<int64_t>(s.tokens.size()), row);
    if (run.process) run.process(s, row);
  });
  if (run.config.output_scores) run.record.put(&run.record.scores, s.generated(), s.row, scores);
}

bool scores_apart(const Run& run) { return !run.constraint && !run.process && !run.config.output_scores; }

LogProbabilities::LogProbabilities(const GenerationConfig& config, std::span<const float> scores) : scores_(scores), scale_(config.do_sample ? config.temperature : 1) {
  std::vector<float> scaled;
  if (scale_ != 1) {
    scaled.resize(scores.size());
    kernels::rows().scale(scale_, scores.data(), scaled.data(), static_cast<int64_t>(scores.size()));
    scores = scaled;
  }
  kernels::rows().logsumexp(scores.data(), &sum_, 1, static_cast<int64_t>(scores.size()));
}

void extend(Run& run, Running& s, std::span<float> logits, std::span<const float> negative) {
  score(run, s, logits, negative);
  const int32_t next = choose(run.config, logits, s.stream, static_cast<int64_t>(s.tokens.size()));
  const bool ends = run.ends(s, next);
  if (run.log_probabilities) s.log_probability += LogProbabilities(run.config, logits).of(next);
  s.push(run, next);
  s.finished = ends || static_cast<int64_t>(s.tokens.size()) >= s.prompt->max_length || run.out_of_time();
  if (ends) s.reason = FinishReason::stop;
  if (run.on_token) run.on_token(s);
}

std::vector<Running> sample(Run& run, std::span<const Prompt> prompts) {
  Logits logits;
  std::vector<Running> all = begin(run, prompts, run.config.num_return_sequences, &logits);
  for (Running& s : all) {
    const int64_t row = s.row / run.config.num_return_sequences;
    const auto shared = logits.row(row);
    std::vector<float> own(shared.begin(), shared.end());
    extend(run, s, own, logits.negative_row(row));
  }
  const auto proposer = make_proposer(run.config, run.decoder.model());
  for (;;) {
    std::vector<Running*> active;
    for (Running& s : all)
      if (!s.finished) active.push_back(&s);
    if (active.empty()) return all;
    if (proposer) {
      speculate(run, *proposer, active);
      continue;
    }
    logits = compute(run, active);
    for (size_t i = 0; i < active.size(); ++i) extend(run, *active[i], logits.row(static_cast<int64_t>(i)), logits.negative_row(static_cast<int64_t>(i)));
  }
}

}  // namespace mynah::generation
