// The command line as the subcommands see it: a part of CLI11 under its own names. CLI11's header takes seconds to parse and to
// instantiate, so only cli.cpp includes it; here are declarations alone, one overload per type of value.
#pragma once
#include <cstdint>
#include <functional>
#include <memory>
#include <optional>
#include <stdexcept>
#include <string>
#include <vector>

namespace CLI {
class App;
class Option;
class Validator;
}  // namespace CLI

namespace mynah::app::cli {

// What was typed cannot be read; what() says why.
struct ParseError : std::runtime_error {
  using std::runtime_error::runtime_error;
};
// Words are left that nothing expects.
struct ExtrasError : ParseError {
  using ParseError::ParseError;
};
// --help and --version were given: no errors.
struct CallForHelp {};
struct CallForVersion {};

class Validator {
 public:
  const CLI::Validator& get() const { return *validator_; }

 protected:
  explicit Validator(std::shared_ptr<const CLI::Validator> validator) : validator_(std::move(validator)) {}

 private:
  std::shared_ptr<const CLI::Validator> validator_;
};

// Both ends belong to it.
struct Range : Validator {
  Range(int low, int high);
  Range(int64_t low, int64_t high);
  Range(double low, double high);
};

struct IsMember : Validator {
  explicit IsMember(std::vector<std::string> members);
};

// A handle: the App that made the option owns it.
class Option {
 public:
  explicit Option(CLI::Option* option) : option_(option) {}

  Option* required();
  Option* type_name(std::string name);
  Option* group(std::string name);
  Option* check(const Validator& validator);
  Option* capture_default_str();
  Option* take_last();
  Option* delimiter(char c);
  Option* expected(int fewest, int most);
  Option* allow_extra_args(bool value);
  Option* trigger_on_parse();

  size_t count() const;
  bool get_positional() const;
  std::string get_name(bool positional = false, bool all = false) const;
  const std::string& get_description() const;
  const std::vector<std::string>& get_lnames() const;

 private:
  CLI::Option* option_;
};

class App {
 public:
  App(std::string description, std::string name);
  ~App();
  App(const App&) = delete;
  App& operator=(const App&) = delete;

  // Pointers stay valid as long as this App.
  App* add_subcommand(std::string name, std::string description);
  App* alias(std::string name);

  Option* add_option(std::string name, std::string& value, std::string help);
  Option* add_option(std::string name, std::vector<std::string>& value, std::string help);
  Option* add_option(std::string name, std::vector<int64_t>& value, std::string help);
  Option* add_option(std::string name, int& value, std::string help);
  Option* add_option(std::string name, int64_t& value, std::string help);
  Option* add_option(std::string name, uint64_t& value, std::string help);
  Option* add_option(std::string name, float& value, std::string help);
  Option* add_option(std::string name, double& value, std::string help);
  Option* add_option(std::string name, std::optional<std::string>& value, std::string help);
  Option* add_option(std::string name, std::optional<int>& value, std::string help);
  Option* add_option(std::string name, std::optional<int64_t>& value, std::string help);
  Option* add_option(std::string name, std::optional<float>& value, std::string help);
  Option* add_option(std::string name, std::optional<double>& value, std::string help);
  Option* add_option_function(std::string name, std::function<void(const std::string&)> take, std::string help);
  Option* add_flag(std::string name, bool& value, std::string help);
  Option* add_flag(std::string name, std::string& value, std::string help);
  Option* add_flag_function(std::string name, std::function<void(int64_t)> take, std::string help);
  void set_help_flag();  // none
  void set_version_flag(std::string name, std::string version);

  // Runs when everything is read.
  App* callback(std::function<void()> action);
  App* footer(std::string text);
  App* fallthrough(bool value);
  App* require_subcommand(size_t count);
  App* require_subcommand(size_t fewest, size_t most);
  // What follows the first unknown word is left to remaining().
  App* prefix_command();
  App* allow_extras();

  // The words in reverse order. Throws ParseError, CallForHelp, CallForVersion, and what callbacks throw.
  void parse(std::vector<std::string>& reversed);
  std::vector<std::string> remaining() const;
  size_t count(const std::string& option) const;
  const App* parsed_subcommand() const;  // the one that was typed, or none

  std::string help(std::string name = "") const;
  const std::string& get_name() const;
  std::string get_description() const;
  std::vector<Option> get_options() const;  // those of --help and --version too
  std::vector<App*> get_subcommands() const;

 private:
  explicit App(CLI::App* app);
  Option* keep(CLI::Option* option);

  std::unique_ptr<CLI::App> owned_;  // of the root; the others belong to CLI11's tree
  CLI::App* app_;
  std::vector<std::unique_ptr<Option>> options_;
  std::vector<std::unique_ptr<App>> subcommands_;
};

// Without the delimiter the text is the only part, also where it is empty.
std::vector<std::string> split(const std::string& text, char delimiter);

}  // namespace mynah::app::cli
