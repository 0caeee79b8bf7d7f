// Text generation as Hugging Face's text-generation servers answer it.
#pragma once
#include "serve/answer.h"

namespace mynah::serve {

enum class TextShape { object, list, list_of_lists };

struct TextGenerationForm {
  std::string model;  // the name in the request
  bool stream = false, full_text = false;
  TextShape shape = TextShape::object;
  bool list_input = false;
};

// Answers `inputs` (a text, or several for the list shapes) with `parameters` (may be null).
void generate_text(Call& call, Models::Lease lease, const std::vector<std::string>& inputs, const Json& parameters, TextGenerationForm form);

// Handlers of /generate and its kind for a model that is named by the path or is the server's own.
void tgi_generate(Call& call, const std::string& model, bool stream);
void tgi_tokenize(Call& call, const std::string& model);
void tgi_chat_tokenize(Call& call, const std::string& model);
void tgi_info(Call& call, const std::string& model);

}  // namespace mynah::serve
