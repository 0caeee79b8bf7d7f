// A subcommand of the program: one file each. main.cpp lists them.
#pragma once
#include <functional>
#include <memory>
#include <string>
#include <vector>

#include "base/json.h"

namespace CLI {
class App;
}

namespace mynah::app {

// Adds the subcommand's options to `parent` and its action, which runs after parsing and returns the exit code.
using AddCommand = void (*)(CLI::App& parent, std::function<int()>& action);

void add_run(CLI::App&, std::function<int()>&);
void add_pull(CLI::App&, std::function<int()>&);
void add_push(CLI::App&, std::function<int()>&);
void add_list(CLI::App&, std::function<int()>&);
void add_show(CLI::App&, std::function<int()>&);
void add_rm(CLI::App&, std::function<int()>&);
void add_cp(CLI::App&, std::function<int()>&);
void add_serve(CLI::App&, std::function<int()>&);
void add_ps(CLI::App&, std::function<int()>&);
void add_stop(CLI::App&, std::function<int()>&);
void add_create(CLI::App&, std::function<int()>&);
void add_forward(CLI::App&, std::function<int()>&);
void add_generate(CLI::App&, std::function<int()>&);
void add_pipeline(CLI::App&, std::function<int()>&);
void add_embed(CLI::App&, std::function<int()>&);
void add_index(CLI::App&, std::function<int()>&);
void add_ask(CLI::App&, std::function<int()>&);
void add_extract(CLI::App&, std::function<int()>&);
void add_review(CLI::App&, std::function<int()>&);
void add_complete(CLI::App&, std::function<int()>&);
void add_transcribe(CLI::App&, std::function<int()>&);
void add_speak(CLI::App&, std::function<int()>&);
void add_tokenize(CLI::App&, std::function<int()>&);
void add_quantize(CLI::App&, std::function<int()>&);
void add_convert(CLI::App&, std::function<int()>&);
void add_bench(CLI::App&, std::function<int()>&);
void add_finetune(CLI::App&, std::function<int()>&);
void add_align(CLI::App&, std::function<int()>&);
void add_merge(CLI::App&, std::function<int()>&);
void add_tokenizer(CLI::App&, std::function<int()>&);
void add_eval(CLI::App&, std::function<int()>&);
void add_plot(CLI::App&, std::function<int()>&);
void add_pretrain(CLI::App&, std::function<int()>&);
void add_doctor(CLI::App&, std::function<int()>&);
void add_completion(CLI::App&, std::function<int()>&);

// Data goes to stdout: one line of JSON. Throws failure when stdout cannot take it (a closed pipe, a full disk).
void print_json(const Json& value);
void print_text(const std::string& text);

}  // namespace mynah::app
