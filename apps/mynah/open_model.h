// From the MODEL argument to an opened model: paths, stored names, and names that are pulled on first use.
#pragma once
#include <memory>
#include <string>

#include "bundle/bundle.h"
#include "cli.h"
#include "mynah/model.h"

namespace mynah::app {

// --dtype, or another name for a model beside the main one, into `precision`: f32, bf16, int8 or stored. `what`: for help.
void add_dtype_option(cli::App& command, Precision& precision, const std::string& name = "--dtype", const std::string& what = "what is computed");

// The local path of MODEL, pulling it if it is not there (size and licence are shown first).
std::string model_path(const std::string& model);

// Lets every command that answers take the folder of an adapter: it is put beside its base.
void open_adapters_beside_their_bases();

// Throws usage where `output` is the very file or folder `input`, which would be lost while it is read.
void refuse_same_place(const std::string& input, const std::string& output);

// The path of the base that an adapter names; where it is not found, the complaint says whose it is.
std::string base_path(const std::string& base, const std::string& adapter);

Model open_model(const std::string& model, Precision precision);
Model open_model(const std::string& model, LoadOptions options, bool text);

// Tokenizer and template only.
std::shared_ptr<bundle::Bundle> open_text(const std::string& model);

}  // namespace mynah::app
