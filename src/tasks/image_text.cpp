#include "tasks/image_text.h"

#include "base/require.h"
#include "generate/config.h"
#include "tasks/options.h"

namespace mynah::tasks {
GenerationConfig answer_config(const OpenTask& task, const Json& options) {
  require(task.bundle().tokenizer != nullptr, "{}: the model comes without a tokenizer", task.entry->name);
  GenerationConfig c = generation_defaults(task.model);
  if (!c.max_length || *c.max_length == 20) c.max_new_tokens = 256;
  generation::apply(generation_settings(*task.entry, options), &c, true);
  return c;
}

}  // namespace mynah::tasks
