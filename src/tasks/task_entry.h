// How a task makes itself known: every .cpp of this folder that is a task defines `extern const TaskEntry task_<name>{...}` and
// CMake collects them.
#pragma once
#include <memory>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "bundle/bundle.h"
#include "bundle/image_processor.h"
#include "mynah/json.h"

namespace mynah {
namespace tasks {

// What a task works with: a model that fits it.
struct OpenTask {
  const struct TaskEntry* entry;
  std::string asked;      // the name that was asked for: "translation_en_to_fr"
  Model model;
  Json tokenizer_config;  // tokenizer_config.json, or an empty object
  std::shared_ptr<const bundle::ImageProcessor> image_processor;  // of tasks that look at pictures; else null

  const bundle::Bundle& bundle() const { return model.bundle(); }
  const Tokenizer& tokenizer() const { return *bundle().tokenizer; }
};

enum class OptionType {
  text,
  integer,
  integer_or_none,  // on the command line "none" is null
  number,
  boolean,
  names,            // one or several texts; on the command line a comma list
  texts,            // one or several texts; on the command line given again for each
  table,            // an object of columns or a list of rows; on the command line JSON, or a .csv, .json or .jsonl file
  json,
};

struct TaskOption {
  const char* name;  // as the reference spells it: "top_k"
  OptionType type;
  const char* help;
};

// What inputs are. A text; a sound or a picture, by the path of its file or as "data:...;base64," with the bytes; of a picture also the
// bytes in base64.
enum class Medium { text, sound, picture };

// How results look to people.
struct Style {
  bool color = false;
};

struct TaskEntry {
  const char* name = nullptr;
  std::vector<std::string_view> aliases = {};
  const char* help = nullptr;
  const char* input = nullptr;  // what one input is, for help: "TEXT"
  // Whether an input that spells this JSON value means it, and not its text. nullptr: never.
  bool (*reads_json)(const Json&) = nullptr;
  std::vector<nn::HeadKind> heads = {};  // of models that fit; the first one is meant where a checkpoint names none
  std::vector<TaskOption> options = {};
  bool generates = false;               // takes the settings of GenerationConfig as well
  const char* default_model = nullptr;  // a catalogue name; nullptr without
  const char* suggestion = nullptr;     // models that are good at it

  // One result for each input.
  std::vector<Json> (*run)(const OpenTask&, const std::vector<Json>& inputs, const Json& options) = nullptr;
  // The inputs that the caller means, some of which may be options ("question"); whether they count as one. nullptr: an array is
  // several, anything else one.
  std::vector<Json> (*inputs)(const Json& inputs, const Json& options, bool* one) = nullptr;
  // The reference's answer made of results. nullptr: the result itself for one input, else the array.
  Json (*answer)(std::vector<Json> results, const Json& inputs, bool one, const Json& options) = nullptr;
  std::string (*show)(const Json& input, const Json& result, const Style& style) = nullptr;
  Medium medium = Medium::text;
  // The picture with the result drawn into it; nullptr: there is nothing to draw.
  media::Image (*draw)(media::Image picture, const Json& result) = nullptr;
  bool speaks = false;  // makes sound of texts: models of speech are for such tasks alone
};

}  // namespace tasks

using tasks::TaskEntry;
std::span<const TaskEntry* const> tasks_entries();

}  // namespace mynah
