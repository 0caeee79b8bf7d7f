// A spoken conversation: what was heard becomes sentences to say, by commands that are understood at once, by a chat model,
// and by the tools that the model calls.
#pragma once
#include <functional>
#include <string>
#include <vector>

#include "assistant/tools.h"
#include "mynah/generate.h"

namespace mynah::assistant {

struct ToolCall {
  std::string name;
  Json arguments;
  std::string result;
};

struct Reply {
  std::vector<std::string> sentences;  // in the order in which they were given to `say`
  std::vector<ToolCall> tools;
  bool complete = true;                // false: `say` ended it
  bool goodbye = false;                // the conversation is over
};

class Assistant {
 public:
  // `settings`: how the model answers. Models whose chat template has tools may call them.
  Assistant(const Model& model, GenerationConfig settings, Toolbox& tools, const std::string& system = "");

  // Each sentence goes to `say` as soon as it is complete; false: nobody listens any more. What was said becomes part of the
  // conversation. Throws failure for a turn that does not fit the model's context by itself.
  Reply answer(const std::string& heard, const std::function<bool(const std::string& sentence)>& say);
  // Of the last reply only so many sentences were heard: the others were never said.
  void heard_only(size_t sentences);

 private:
  void ask_model(Reply* reply, const std::function<bool(const std::string&)>& say);
  void answer_from(const std::string& passages, const std::string& question, Reply* reply, const std::function<bool(const std::string&)>& say);
  std::vector<int32_t> prompt(const Json& messages, const Json& tools) const;
  std::vector<int32_t> fitting_prompt(const Json& tools);
  // One answer of the model. `calls` gets the tools that it wants; null: it is offered none.
  void generate(const std::vector<int32_t>& prompt, Reply* reply, const std::function<bool(const std::string&)>& say, std::string* text, std::vector<ToolCall>* calls);
  void remember(const Reply& reply);

  Model model_;
  Session session_;
  GenerationConfig settings_;
  Toolbox& tools_;
  Json messages_;
  bool calls_tools_;
  std::vector<std::string> last_;  // sentences of the last reply
};

}  // namespace mynah::assistant
