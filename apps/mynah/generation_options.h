// The options of GenerationConfig on the command line, in kebab case.
#pragma once
#include <map>
#include <string>

#include "base/json.h"
#include "cli.h"
#include "mynah/generate.h"

namespace mynah::app {

// The value of --format: "json", or the text of a schema's file.
std::string read_format(const std::string& format);

// Values as they were given; apply() lays them over a model's defaults.
class GenerationOptions {
 public:
  void add(cli::App& command);
  // Those of models that write down sound.
  void add_speech(cli::App& command);
  void apply(GenerationConfig* config) const;
  // The values by the names of GenerationConfig.
  Json settings() const;
  bool given(const std::string& name) const { return values_.count(name) != 0; }

 private:
  void option(cli::App& command, const char* name, const char* help, const char* type, const char* group);
  void flag(cli::App& command, const char* name, const char* help, const char* group);

  std::map<std::string, std::string> values_;
  std::string early_stopping_, assistant_, format_, regex_;
};

}  // namespace mynah::app
