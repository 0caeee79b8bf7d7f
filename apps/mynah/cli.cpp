#include "cli.h"

#include <CLI/CLI.hpp>

#include <fmt/format.h>

namespace mynah::app::cli {
namespace {

// CLI11 shows what a flag stands for when it comes without a value: "--bf16{true}". Nobody types that.
std::string as_typed(std::string name) {
  constexpr std::string_view kWithout = "{true}";
  for (size_t at; (at = name.find(kWithout)) != std::string::npos;) name.erase(at, kWithout.size());
  return name;
}

class HelpFormatter : public CLI::Formatter {
 public:
  std::string make_option_name(const CLI::Option* option, bool positional) const override { return as_typed(CLI::Formatter::make_option_name(option, positional)); }
};

template <class T>
std::shared_ptr<const CLI::Validator> range(T low, T high) {
  return std::make_shared<CLI::Range>(low, high, fmt::format("{}..{}", low, high));
}

}  // namespace

Range::Range(int low, int high) : Validator(range(low, high)) {}
Range::Range(int64_t low, int64_t high) : Validator(range(low, high)) {}
Range::Range(double low, double high) : Validator(range(low, high)) {}
IsMember::IsMember(std::vector<std::string> members) : Validator(std::make_shared<CLI::IsMember>(std::move(members))) {}

Option* Option::required() { return option_->required(), this; }
Option* Option::type_name(std::string name) { return option_->type_name(std::move(name)), this; }
Option* Option::group(std::string name) { return option_->group(name), this; }
Option* Option::check(const Validator& validator) { return option_->check(validator.get()), this; }
Option* Option::capture_default_str() { return option_->capture_default_str(), this; }
Option* Option::take_last() { return option_->take_last(), this; }
Option* Option::delimiter(char c) { return option_->delimiter(c), this; }
Option* Option::expected(int fewest, int most) { return option_->expected(fewest, most), this; }
Option* Option::allow_extra_args(bool value) { return option_->allow_extra_args(value), this; }
Option* Option::trigger_on_parse() { return option_->trigger_on_parse(), this; }

size_t Option::count() const { return option_->count(); }
bool Option::get_positional() const { return option_->get_positional(); }
std::string Option::get_name(bool positional, bool all) const { return as_typed(option_->get_name(positional, all)); }
const std::string& Option::get_description() const { return option_->get_description(); }
const std::vector<std::string>& Option::get_lnames() const { return option_->get_lnames(); }

App::App(std::string description, std::string name)
    : owned_(std::make_unique<CLI::App>(std::move(description), std::move(name))), app_(owned_.get()) {
  app_->formatter(std::make_shared<HelpFormatter>());  // subcommands take it over
}
App::App(CLI::App* app) : app_(app) {}
App::~App() = default;

App* App::add_subcommand(std::string name, std::string description) {
  subcommands_.emplace_back(new App(app_->add_subcommand(std::move(name), std::move(description))));
  return subcommands_.back().get();
}
App* App::alias(std::string name) { return app_->alias(std::move(name)), this; }

Option* App::keep(CLI::Option* option) { return options_.emplace_back(std::make_unique<Option>(option)).get(); }

Option* App::add_option(std::string name, std::string& value, std::string help) { return keep(app_->add_option(name, value, help)); }
Option* App::add_option(std::string name, std::vector<std::string>& value, std::string help) { return keep(app_->add_option(name, value, help)); }
Option* App::add_option(std::string name, std::vector<int64_t>& value, std::string help) { return keep(app_->add_option(name, value, help)); }
Option* App::add_option(std::string name, int& value, std::string help) { return keep(app_->add_option(name, value, help)); }
Option* App::add_option(std::string name, int64_t& value, std::string help) { return keep(app_->add_option(name, value, help)); }
Option* App::add_option(std::string name, uint64_t& value, std::string help) { return keep(app_->add_option(name, value, help)); }
Option* App::add_option(std::string name, float& value, std::string help) { return keep(app_->add_option(name, value, help)); }
Option* App::add_option(std::string name, double& value, std::string help) { return keep(app_->add_option(name, value, help)); }
Option* App::add_option(std::string name, std::optional<std::string>& value, std::string help) { return keep(app_->add_option(name, value, help)); }
Option* App::add_option(std::string name, std::optional<int>& value, std::string help) { return keep(app_->add_option(name, value, help)); }
Option* App::add_option(std::string name, std::optional<int64_t>& value, std::string help) { return keep(app_->add_option(name, value, help)); }
Option* App::add_option(std::string name, std::optional<float>& value, std::string help) { return keep(app_->add_option(name, value, help)); }
Option* App::add_option(std::string name, std::optional<double>& value, std::string help) { return keep(app_->add_option(name, value, help)); }
Option* App::add_option_function(std::string name, std::function<void(const std::string&)> take, std::string help) {
  return keep(app_->add_option_function<std::string>(name, take, help));
}
Option* App::add_flag(std::string name, bool& value, std::string help) { return keep(app_->add_flag(name, value, help)); }
Option* App::add_flag(std::string name, std::string& value, std::string help) { return keep(app_->add_flag(name, value, help)); }
Option* App::add_flag_function(std::string name, std::function<void(int64_t)> take, std::string help) {
  return keep(app_->add_flag_function(name, take, help));
}
void App::set_help_flag() { app_->set_help_flag(); }
void App::set_version_flag(std::string name, std::string version) { app_->set_version_flag(name, version); }

App* App::callback(std::function<void()> action) { return app_->callback(std::move(action)), this; }
App* App::footer(std::string text) { return app_->footer(std::move(text)), this; }
App* App::fallthrough(bool value) { return app_->fallthrough(value), this; }
App* App::require_subcommand(size_t count) { return app_->require_subcommand(static_cast<int>(count)), this; }
App* App::require_subcommand(size_t fewest, size_t most) { return app_->require_subcommand(fewest, most), this; }
App* App::prefix_command() { return app_->prefix_command(), this; }
App* App::allow_extras() { return app_->allow_extras(), this; }

void App::parse(std::vector<std::string>& reversed) {
  try {
    app_->parse(reversed);
  } catch (const CLI::CallForHelp&) {
    throw CallForHelp();
  } catch (const CLI::CallForVersion&) {
    throw CallForVersion();
  } catch (const CLI::ExtrasError& error) {
    throw ExtrasError(error.what());
  } catch (const CLI::ParseError& error) {
    // "--seed: At Most 1 required but received 2"
    std::string text = error.what();
    constexpr std::string_view kMost = "At Most 1 required but received ";
    if (const size_t at = text.find(kMost); at != std::string::npos) text = text.substr(0, at) + "given " + text.substr(at + kMost.size()) + " times, expected once";
    throw ParseError(text);
  }
}
std::vector<std::string> App::remaining() const { return app_->remaining(); }
size_t App::count(const std::string& option) const { return app_->count(option); }

const App* App::parsed_subcommand() const {
  const std::vector<CLI::App*> parsed = app_->get_subcommands();
  for (const auto& sub : subcommands_)
    if (!parsed.empty() && sub->app_ == parsed.front()) return sub.get();
  return nullptr;
}

std::string App::help(std::string name) const { return app_->help(std::move(name)); }
const std::string& App::get_name() const { return app_->get_name(); }
std::string App::get_description() const { return app_->get_description(); }

std::vector<Option> App::get_options() const {
  std::vector<Option> all;
  for (CLI::Option* option : app_->get_options()) all.emplace_back(option);
  return all;
}

std::vector<App*> App::get_subcommands() const {
  std::vector<App*> all;
  for (const auto& sub : subcommands_) all.push_back(sub.get());
  return all;
}

std::vector<std::string> split(const std::string& text, char delimiter) { return CLI::detail::split(text, delimiter); }

}  // namespace mynah::app::cli
