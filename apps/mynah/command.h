// A subcommand of the program: one file each. main.cpp lists them.
#pragma once
#include <functional>
#include <memory>
#include <string>
#include <vector>

#include "base/json.h"
#include "cli.h"

namespace mynah::app {

// Adds the subcommand's options to `parent` and its action, which runs after parsing and returns the exit code.
using AddCommand = void (*)(cli::App& parent, std::function<int()>& action);

void add_run(cli::App&, std::function<int()>&);
void add_pull(cli::App&, std::function<int()>&);
void add_push(cli::App&, std::function<int()>&);
void add_list(cli::App&, std::function<int()>&);
void add_show(cli::App&, std::function<int()>&);
void add_rm(cli::App&, std::function<int()>&);
void add_cp(cli::App&, std::function<int()>&);
void add_serve(cli::App&, std::function<int()>&);
void add_ps(cli::App&, std::function<int()>&);
void add_stop(cli::App&, std::function<int()>&);
void add_top(cli::App&, std::function<int()>&);
void add_logs(cli::App&, std::function<int()>&);
void add_key(cli::App&, std::function<int()>&);
void add_replay(cli::App&, std::function<int()>&);
void add_create(cli::App&, std::function<int()>&);
void add_forward(cli::App&, std::function<int()>&);
void add_generate(cli::App&, std::function<int()>&);
void add_pipeline(cli::App&, std::function<int()>&);
void add_embed(cli::App&, std::function<int()>&);
void add_index(cli::App&, std::function<int()>&);
void add_ask(cli::App&, std::function<int()>&);
void add_extract(cli::App&, std::function<int()>&);
void add_review(cli::App&, std::function<int()>&);
void add_complete(cli::App&, std::function<int()>&);
void add_transcribe(cli::App&, std::function<int()>&);
void add_speak(cli::App&, std::function<int()>&);
void add_talk(cli::App&, std::function<int()>&);
void add_watch(cli::App&, std::function<int()>&);
void add_search_images(cli::App&, std::function<int()>&);
void add_tokenize(cli::App&, std::function<int()>&);
void add_quantize(cli::App&, std::function<int()>&);
void add_convert(cli::App&, std::function<int()>&);
void add_bench(cli::App&, std::function<int()>&);
void add_finetune(cli::App&, std::function<int()>&);
void add_align(cli::App&, std::function<int()>&);
void add_merge(cli::App&, std::function<int()>&);
void add_tokenizer(cli::App&, std::function<int()>&);
void add_eval(cli::App&, std::function<int()>&);
void add_plot(cli::App&, std::function<int()>&);
void add_pretrain(cli::App&, std::function<int()>&);
void add_doctor(cli::App&, std::function<int()>&);
void add_completion(cli::App&, std::function<int()>&);

// Data goes to stdout: one line of JSON. Throws failure when stdout cannot take it (a closed pipe, a full disk).
void print_json(const Json& value);
void print_text(const std::string& text);

}  // namespace mynah::app
