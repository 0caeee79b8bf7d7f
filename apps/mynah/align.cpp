// mynah align METHOD MODEL: learning from demonstrations, preferences and rewards.
#include <fmt/ranges.h>

#include <algorithm>
#include <cmath>
#include <functional>
#include <optional>

#include "base/require.h"
#include "cli.h"
#include "command.h"
#include "nn/head_kind.h"
#include "open_model.h"
#include "subject_options.h"
#include "train/policy_gradient.h"
#include "train/ppo.h"
#include "train/preference.h"
#include "train/reward_model.h"
#include "training_options.h"

namespace mynah::app {
namespace {

struct AlignOptions {
  std::string method, train_file, validation_file, ref_model, loss_type, loss_weights;
  cli::App* command = nullptr;
  SubjectFlags subject;
  SftFlags sft;
  TrainingOptions training;
  std::optional<double> beta, center_rewards;
  bool disable_dropout = true;
  cli::Option* disable_dropout_option = nullptr;
  train::PreferenceOptions preference;
  // Learning from rewards.
  std::string reward, reward_model, replay, scale_rewards, reward_clip_range;
  std::optional<int64_t> num_generations, max_completion_length;
  std::optional<double> temperature;
  train::PolicyGradientOptions policy;
  train::PpoOptions ppo;
  train::SamplingOptions sampling;
};

bool learns_from_rewards(const std::string& method) { return method == "grpo" || method == "rloo" || method == "ppo"; }

TrainingDefaults defaults_of(const std::string& method) {
  if (method == "sft") return {2e-5, 1, 10};
  if (method == "reward") return {1e-4, 1, 10};
  if (method == "ppo") return {3e-6, 0, 1};
  return {1e-6, 1, 10};
}

std::vector<double> numbers(const std::string& list, const char* flag) {
  std::vector<double> all;
  for (const std::string& part : comma_list(list)) {
    try {
      all.push_back(std::stod(part));
    } catch (const std::exception&) {
      fail(ErrorCode::usage, "{}: \"{}\" is not a number", flag, part);
    }
  }
  return all;
}

// Flags that only some methods read, and which. Of another method they would change nothing without a word.
struct FlagsOf {
  std::vector<std::string> methods, flags;
};
const std::vector<FlagsOf>& flags_of_methods() {
  static const std::vector<FlagsOf> all = {
      {{"sft"}, {"--packing", "--packing-strategy", "--completion-only-loss", "--assistant-only-loss"}},
      {{"dpo", "kto", "grpo", "rloo", "ppo"}, {"--ref-model"}},
      {{"dpo", "kto", "orpo", "grpo", "rloo"}, {"--beta"}},
      {{"sft", "dpo", "kto", "grpo", "rloo"}, {"--loss-type"}},
      {{"dpo"}, {"--loss-weights", "--label-smoothing", "--f-divergence-type", "--f-alpha-divergence-coef", "--ld-alpha", "--discopop-tau", "--use-weighting"}},
      {{"kto"}, {"--desirable-weight", "--undesirable-weight"}},
      {{"reward"}, {"--center-rewards-coefficient"}},
      {{"sft", "reward", "dpo", "kto", "orpo"}, {"--validation-file", "--max-length"}},
      {{"grpo", "rloo", "ppo"},
       {"--reward", "--reward-model", "--replay", "--num-generations", "--max-completion-length", "--temperature", "--top-k", "--top-p", "--min-p", "--repetition-penalty",
        "--missing-eos-penalty"}},
      {{"grpo", "rloo"},
       {"--num-iterations", "--epsilon", "--epsilon-high", "--delta", "--scale-rewards", "--importance-sampling-level", "--mask-truncated-completions", "--use-bias-correction-kl"}},
      {{"rloo"}, {"--normalize-advantages", "--reward-clip-range"}},
      {{"ppo"},
       {"--response-length", "--num-ppo-epochs", "--kl-coef", "--kl-estimator", "--cliprange", "--vf-coef", "--cliprange-value", "--gamma", "--lam", "--whiten-rewards"}}};
  return all;
}

void check_flags(const AlignOptions& o) {
  for (const FlagsOf& some : flags_of_methods()) {
    if (std::find(some.methods.begin(), some.methods.end(), o.method) != some.methods.end()) continue;
    for (const std::string& flag : some.flags)
      if (o.command->count(flag) > 0) fail(ErrorCode::usage, "align {}: {} is of {}; leave it away", o.method, flag, fmt::format("{}", fmt::join(some.methods, ", ")));
  }
  if (o.beta && (!(*o.beta >= 0) || !std::isfinite(*o.beta))) fail(ErrorCode::usage, "--beta: {}, expected a finite number of 0 or more", *o.beta);
  if (o.max_completion_length && *o.max_completion_length <= 0) fail(ErrorCode::usage, "--max-completion-length: {}, expected more than 0", *o.max_completion_length);
  if (o.ppo.response_length <= 0) fail(ErrorCode::usage, "--response-length: {}, expected more than 0", o.ppo.response_length);
}

void take_model(train::SubjectOptions& s, const std::string& model) {
  s.model_name = model;
  s.model = model_path(model);
}

// Of `like` itself, if `model` is empty.
std::shared_ptr<bundle::Bundle> open_scorer(const train::SubjectOptions& like, const std::string& model, bool trainable) {
  train::SubjectOptions s = like;
  if (!model.empty()) {
    take_model(s, model);
    // A head drawn at random would give scores that mean nothing.
    const auto b = bundle::open(s.model, {.name = model}, {.network = false, .tokenizer = false});
    if (nn::head_kind(b->config) != nn::HeadKind::sequence_classification)
      fail(ErrorCode::usage, "--reward-model {}: {} gives no score; mynah align reward makes a model that does", model, b->architecture());
  }
  s.lora = {};
  s.head = "ForSequenceClassification";
  s.labels = {"LABEL_0"};
  return trainable ? train::open_subject(s).bundle : train::open_reference(s, true);
}

// The objectives that need completions: from --replay, or sampled and judged by --reward and --reward-model.
std::unique_ptr<train::Objective> make_online(const AlignOptions& o, train::Arguments* a, const train::SubjectOptions& s, const train::Subject& subject,
                                              const std::function<std::shared_ptr<bundle::Bundle>()>& reference, train::Trained* trained) {
  const bool ppo = o.method == "ppo", rloo = o.method == "rloo";
  train::SamplingOptions sampling = o.sampling;
  sampling.rows = a->per_device_train_batch_size * a->gradient_accumulation_steps;
  sampling.num_generations = ppo ? 1 : o.num_generations.value_or(rloo ? 2 : 8);
  sampling.max_completion_length = o.max_completion_length.value_or(ppo ? o.ppo.response_length : 512);
  sampling.temperature = o.temperature.value_or(ppo ? 0.7 : 1.0);
  std::unique_ptr<train::Rollouts> rollouts;
  if (!o.replay.empty()) {
    rollouts = train::replay_rollouts(o.replay, sampling.rows);
    if (a->max_steps <= 0) a->num_train_epochs = 1;
  } else {
    if (o.train_file.empty()) fail(ErrorCode::usage, "align {}: --train-file with prompts, or --replay, is needed", o.method);
    std::vector<std::unique_ptr<train::RewardFunction>> rewards;
    if (!o.reward.empty()) rewards.push_back(train::make_reward_function(o.reward));
    if (!o.reward_model.empty()) rewards.push_back(train::make_model_reward(open_scorer(s, o.reward_model, false)));
    if (rewards.empty()) fail(ErrorCode::usage, "align {}: --reward FUNCTION or --reward-model MODEL is needed", o.method);
    rollouts = train::sampled_rollouts(*a, sampling, subject.bundle, std::move(rewards), o.train_file);
  }
  if (ppo) {
    train::PpoOptions p = o.ppo;
    p.temperature = sampling.temperature;
    const auto value = open_scorer(s, o.reward_model, true);
    for (const nn::Parameter& parameter : value->weights.parameters) trained->parameters.emplace_back("value_model." + parameter.name, parameter.value);
    return train::make_ppo(*a, p, subject, value, reference(), std::move(rollouts));
  }
  train::PolicyGradientOptions p = o.policy;
  p.leave_one_out = rloo;
  if (!o.reward_clip_range.empty()) {
    const std::vector<double> range = numbers(o.reward_clip_range, "--reward-clip-range");
    if (range.size() != 2 || !(range[0] <= range[1])) fail(ErrorCode::usage, "--reward-clip-range: \"{}\", expected LOW,HIGH", o.reward_clip_range);
    p.reward_clip_range = {range[0], range[1]};
  }
  p.num_generations = sampling.num_generations;
  p.max_completion_length = sampling.max_completion_length;
  p.temperature = sampling.temperature;
  p.beta = o.beta.value_or(rloo ? 0.05 : 0.0);
  if (!o.loss_type.empty()) p.loss_type = o.loss_type;
  if (!o.scale_rewards.empty()) p.scale_rewards = o.scale_rewards == "true" ? "group" : o.scale_rewards == "false" ? "none" : o.scale_rewards;
  return train::make_policy_gradient(*a, p, subject, p.beta != 0 ? reference() : nullptr, std::move(rollouts));
}

int run_align(const AlignOptions& o) {
  train::Arguments a = o.training.arguments(defaults_of(o.method));
  // Policies and what they are compared with are to differ by their weights alone.
  a.disable_dropout = o.disable_dropout_option->count() ? o.disable_dropout : o.method != "sft" && o.method != "grpo" && o.method != "rloo";
  check_flags(o);
  train::SubjectOptions s = o.subject.subject(a.seed);
  refuse_same_place(s.model, a.output_dir);
  if (o.train_file.empty() && !learns_from_rewards(o.method)) fail(ErrorCode::usage, "align {}: --train-file is needed", o.method);
  if (o.method == "reward") {
    s.head = "ForSequenceClassification";
    s.labels = {"LABEL_0"};
  }
  const train::Subject subject = train::open_subject(s);
  if (o.method != "reward") refuse_encoder_decoder(subject, "align " + o.method);
  const auto reference = [&] {
    if (o.ref_model.empty()) return train::open_reference(s);
    train::SubjectOptions r = s;
    take_model(r, o.ref_model);
    const auto own = bundle::open_tokenizer(s.model), other = bundle::open_tokenizer(r.model);
    if (own && other && own->vocab_size() != other->vocab_size())
      fail(ErrorCode::usage, "--ref-model {}: its tokenizer has {} tokens, that of {} {}; expected models with the same tokens", o.ref_model, other->vocab_size(), s.model_name, own->vocab_size());
    r.lora.adapter.clear();
    return train::open_reference(r);
  };
  train::SftOptions sft = o.sft.options();
  train::PreferenceOptions p = o.preference;
  p.beta = o.beta.value_or(0.1);
  p.max_length = sft.max_length;
  p.truncation_mode = sft.truncation_mode;
  p.loss_type = comma_list(o.loss_type);
  p.loss_weights = numbers(o.loss_weights, "--loss-weights");
  std::unique_ptr<train::Objective> objective;
  train::Trained trained = subject.trained;
  if (o.method == "sft") {
    if (!o.loss_type.empty()) sft.loss_type = o.loss_type;
    objective = train::make_sft(a, sft, *subject.bundle, o.train_file, o.validation_file);
  } else if (o.method == "reward") {
    objective = train::make_reward(a, {sft.max_length, o.center_rewards}, subject, o.train_file, o.validation_file);
  } else if (o.method == "dpo") {
    objective = train::make_dpo(a, p, subject, reference(), o.train_file, o.validation_file);
  } else if (o.method == "kto") {
    objective = train::make_kto(a, p, subject, reference(), o.train_file, o.validation_file);
  } else if (learns_from_rewards(o.method)) {
    objective = make_online(o, &a, s, subject, reference, &trained);
  } else {
    objective = train::make_orpo(a, p, subject, o.train_file, o.validation_file);
  }
  train::run(a, trained, *objective);
  return 0;
}

}  // namespace

void add_align(cli::App& parent, std::function<int()>& action) {
  cli::App* c = parent.add_subcommand("align", "Teach a model preferences: sft, reward, dpo, kto, orpo, ppo, grpo, rloo");
  auto o = std::make_shared<AlignOptions>();
  o->command = c;
  c->add_option("method", o->method, "sft, reward, dpo, kto, orpo, ppo, grpo, rloo")
      ->required()
      ->check(cli::IsMember({"sft", "reward", "dpo", "kto", "orpo", "ppo", "grpo", "rloo"}));
  o->subject.add(*c);
  c->add_option("--train-file", o->train_file, "rows as TRL names them: prompt, chosen, rejected; or prompt, completion, label ...")->type_name("FILE");
  c->add_option("--validation-file", o->validation_file, "held-out rows")->type_name("FILE");
  c->add_option("--ref-model", o->ref_model, "what the policy is compared with (default: MODEL as it is at the start)")->type_name("MODEL");
  o->disable_dropout_option = c->add_flag("--disable-dropout{true}", o->disable_dropout, "no dropout while training (default of reward, dpo, kto, orpo, ppo)");
  c->add_option("--beta", o->beta, "how strongly the reference holds (0.1)");
  c->add_option("--loss-type", o->loss_type, "dpo: sigmoid, hinge, ipo, robust, apo_zero ...; kto: kto, apo_zero_unpaired; a comma list adds up");
  c->add_option("--loss-weights", o->loss_weights, "comma list, one per loss type");
  c->add_option("--label-smoothing", o->preference.label_smoothing, "share of wrong preferences (robust, exo_pair, aot)")->capture_default_str();
  c->add_option("--f-divergence-type", o->preference.f_divergence_type, "reverse_kl, forward_kl, js_divergence, alpha_divergence")->capture_default_str();
  c->add_option("--f-alpha-divergence-coef", o->preference.f_alpha_divergence_coef, "of alpha_divergence")->capture_default_str();
  c->add_option("--ld-alpha", o->preference.ld_alpha, "weight of tokens beyond the shorter completion (LD-DPO)")->capture_default_str();
  c->add_option("--discopop-tau", o->preference.discopop_tau, "of the loss discopop: its temperature")->capture_default_str();
  c->add_flag("--use-weighting{true}", o->preference.use_weighting, "dpo: weigh pairs by how likely the policy is to say them (WPO)");
  c->add_option("--reward-clip-range", o->reward_clip_range, "rloo: LOW,HIGH that rewards are kept in")->group("Rewards");
  c->add_option("--desirable-weight", o->preference.desirable_weight, "kto")->capture_default_str();
  c->add_option("--undesirable-weight", o->preference.undesirable_weight, "kto")->capture_default_str();
  c->add_option("--center-rewards-coefficient", o->center_rewards, "reward: keeps the mean near 0");
  const auto online = [&](const char* name, auto& value, const char* help) { c->add_option(name, value, help)->capture_default_str()->group("Rewards"); };
  online("--reward", o->reward, "exact, json, regex:PATTERN, length:N or cmd:COMMAND");
  online("--reward-model", o->reward_model, "a model that scores; ppo: also where the value model starts");
  online("--replay", o->replay, "safetensors with generation batches, instead of sampling");
  online("--num-generations", o->num_generations, "completions of a prompt (grpo 8, rloo 2)");
  online("--max-completion-length", o->max_completion_length, "tokens (512; ppo --response-length)");
  online("--temperature", o->temperature, "of sampling (1; ppo 0.7)");
  online("--top-k", o->sampling.top_k, "0: off");
  online("--top-p", o->sampling.top_p, "draw from the likeliest tokens up to this probability");
  online("--min-p", o->sampling.min_p, "draw from tokens at least this likely, relative to the likeliest");
  online("--repetition-penalty", o->sampling.repetition_penalty, "divides positive scores of tokens that occurred");
  online("--num-iterations", o->policy.num_iterations, "updates of a generation batch");
  online("--epsilon", o->policy.epsilon, "how far the ratio may go from 1");
  online("--epsilon-high", o->policy.epsilon_high, "the same upwards (--epsilon)");
  online("--delta", o->policy.delta, "upper bound of the ratio on the other side");
  online("--scale-rewards", o->scale_rewards, "group, batch or none");
  online("--importance-sampling-level", o->policy.importance_sampling_level, "token or sequence");
  c->add_flag("--normalize-advantages{true}", o->policy.normalize_advantages, "rloo")->group("Rewards");
  c->add_flag("--mask-truncated-completions{true}", o->policy.mask_truncated_completions, "completions without an end teach nothing")->group("Rewards");
  c->add_flag("--use-bias-correction-kl{true},!--no-use-bias-correction-kl", o->policy.use_bias_correction_kl, "KL times ratio (default)")->group("Rewards");
  online("--response-length", o->ppo.response_length, "ppo: tokens of a completion");
  online("--num-ppo-epochs", o->ppo.num_ppo_epochs, "ppo");
  online("--kl-coef", o->ppo.kl_coef, "ppo");
  online("--kl-estimator", o->ppo.kl_estimator, "ppo: k1 or k3");
  online("--cliprange", o->ppo.cliprange, "ppo");
  online("--vf-coef", o->ppo.vf_coef, "ppo");
  online("--cliprange-value", o->ppo.cliprange_value, "ppo");
  online("--gamma", o->ppo.gamma, "ppo");
  online("--lam", o->ppo.lam, "ppo");
  online("--missing-eos-penalty", o->sampling.missing_eos_penalty, "taken from the score of a completion without an end");
  c->add_flag("--whiten-rewards{true}", o->ppo.whiten_rewards, "ppo")->group("Rewards");
  o->sft.add(*c);
  o->training.add(*c);
  c->callback([o, &action] { action = [o] { return run_align(*o); }; });
}

}  // namespace mynah::app
