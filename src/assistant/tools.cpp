#include "assistant/tools.h"

#include <fmt/format.h>

#include <algorithm>
#include <cmath>

#include "assistant/calculator.h"
#include "assistant/spoken.h"
#include "base/require.h"
#include "mynah/json.h"

namespace mynah::assistant {
namespace {

constexpr double kLongestTimer = 366.0 * 86400;
constexpr size_t kMostTimers = 100, kNotesRead = 10;

Json described(const char* name, const char* description, const Json& properties, const Json& required) {
  return {{"type", "function"},
          {"function",
           {{"name", name},
            {"description", description},
            {"parameters", {{"type", "object"}, {"properties", properties}, {"required", required}}}}}};
}

Json one_text(const char* name, const char* description) { return Json{{name, {{"type", "string"}, {"description", description}}}}; }

std::string text_argument(const Json& arguments, const char* name) {
  const auto it = arguments.find(name);
  require(it != arguments.end() && (it->is_string() || it->is_number()), "the tool needs the text \"{}\"", name);
  std::string text = it->is_string() ? it->get<std::string>() : it->dump();
  require(text.find_first_not_of(" \t\r\n") != std::string::npos, "\"{}\" is empty", name);
  return text;
}

std::string plural(size_t n, const char* thing) { return fmt::format("{} {}{}", n, thing, n == 1 ? "" : "s"); }

std::string sentence(std::string text) {
  if (!text.empty() && std::string_view(".!?").find(text.back()) == std::string_view::npos) text += '.';
  return text;
}

}  // namespace

Json Toolbox::descriptions() const {
  const Json nothing = Json::object(), none = Json::array();
  Json all = Json::array();
  all.push_back(described("get_time", "The time of day.", nothing, none));
  all.push_back(described("get_date", "Today's date and day of the week.", nothing, none));
  all.push_back(described("calculate", "Works out an arithmetic expression.", one_text("expression", "such as 3 * (4 + 5)"), {"expression"}));
  Json timer = one_text("duration", "such as 5 minutes");
  timer["label"] = {{"type", "string"}, {"description", "what to be reminded of"}};
  all.push_back(described("set_timer", "Rings after a while, or reminds of something.", timer, {"duration"}));
  all.push_back(described("list_timers", "Which timers are running and how long.", nothing, none));
  all.push_back(described("cancel_timers", "Stops all timers.", nothing, none));
  all.push_back(described("add_note", "Keeps a note.", one_text("text", "the note"), {"text"}));
  all.push_back(described("read_notes", "The notes that are kept.", nothing, none));
  all.push_back(described("remove_last_note", "Forgets the newest note.", nothing, none));
  all.push_back(described("remove_all_notes", "Forgets all notes.", nothing, none));
  if (settings_.search) all.push_back(described("search_files", "Passages of the user's own files.", one_text("query", "what to look for"), {"query"}));
  return all;
}

std::tm Toolbox::local_time() const {
  const std::time_t t = settings_.begin + static_cast<std::time_t>(std::floor(now_));
  std::tm local{};
  localtime_r(&t, &local);
  return local;
}

std::string Toolbox::set_timer(const Json& arguments) {
  double seconds = 0;
  if (const auto it = arguments.find("duration"); it != arguments.end() && it->is_number()) {
    seconds = it->get<double>();
  } else {
    const std::vector<std::string> words = spoken_words(text_argument(arguments, "duration"));
    size_t at = 0;
    const auto read = read_duration(words, &at);
    require(read && at == words.size(), "\"{}\" is no duration; say it like 5 minutes", arguments["duration"].get<std::string>());
    seconds = *read;
  }
  require(seconds >= 1 && seconds <= kLongestTimer, "a timer of {} seconds cannot be set", number_text(seconds));
  require(timers_.running().size() < kMostTimers, "there are {} timers already", kMostTimers);
  const auto label = arguments.find("label");
  const bool labelled = label != arguments.end() && label->is_string() && !label->get_ref<const std::string&>().empty();
  timers_.set(now_, seconds, labelled ? label->get<std::string>() : "");
  return labelled ? fmt::format("I will remind you in {}.", duration_text(seconds)) : fmt::format("A timer of {} is set.", duration_text(seconds));
}

std::string Toolbox::running_timers() const {
  if (timers_.running().empty()) return "No timer is running.";
  std::string out;
  for (const Timer& t : timers_.running())
    out += fmt::format("{}{} left{}", out.empty() ? "" : ", ", duration_text(std::ceil(t.ends - now_)), t.label.empty() ? "" : " for: " + t.label);
  return fmt::format("{}: {}.", plural(timers_.running().size(), "timer"), out);
}

std::string Toolbox::read_notes() const {
  const std::vector<std::string> notes = notes_.all();
  if (notes.empty()) return "You have no notes.";
  const size_t first = notes.size() > kNotesRead ? notes.size() - kNotesRead : 0;
  std::string out = first == 0 ? fmt::format("You have {}.", plural(notes.size(), "note")) : fmt::format("You have {}. The last {} are:", plural(notes.size(), "note"), kNotesRead);
  for (size_t i = first; i < notes.size(); ++i) out += " " + sentence(notes[i]);
  return out;
}

ToolAnswer Toolbox::call(const std::string& name, const Json& given) {
  constexpr const char* kDays[] = {"Sunday", "Monday", "Tuesday", "Wednesday", "Thursday", "Friday", "Saturday"};
  constexpr const char* kMonths[] = {"January", "February", "March", "April", "May", "June", "July", "August", "September", "October", "November", "December"};
  const Json arguments = given.is_object() ? given : Json::object();
  try {
    if (name == "get_time") {
      const std::tm t = local_time();
      return {fmt::format("It is {}:{:02} {}.", t.tm_hour % 12 == 0 ? 12 : t.tm_hour % 12, t.tm_min, t.tm_hour < 12 ? "AM" : "PM")};
    }
    if (name == "get_date") {
      const std::tm t = local_time();
      return {fmt::format("Today is {}, {} {}, {}.", kDays[t.tm_wday], kMonths[t.tm_mon], t.tm_mday, t.tm_year + 1900)};
    }
    if (name == "calculate") {
      const std::string expression = text_argument(arguments, "expression");
      const auto value = calculate(expression);
      require(value.has_value(), "\"{}\" is no arithmetic", expression);
      return {fmt::format("That is {}.", number_text(*value))};
    }
    if (name == "set_timer") return {set_timer(arguments)};
    if (name == "list_timers") return {running_timers()};
    if (name == "cancel_timers") {
      const size_t n = timers_.cancel_all();
      return {n == 0 ? "No timer was running." : plural(n, "timer") + " stopped."};
    }
    if (name == "add_note") {
      notes_.add(text_argument(arguments, "text"));
      return {"I noted that."};
    }
    if (name == "read_notes") return {read_notes()};
    if (name == "remove_last_note") {
      const std::string note = notes_.remove_last();
      return {note.empty() ? "You have no notes." : "I removed the note: " + sentence(note)};
    }
    if (name == "remove_all_notes") {
      const size_t n = notes_.remove_all();
      return {n == 0 ? "You have no notes." : plural(n, "note") + " removed."};
    }
    if (name == "search_files") {
      require(settings_.search != nullptr, "there are no files to search; start with a folder of files");
      std::string found = settings_.search(text_argument(arguments, "query"));
      if (found.empty()) return {"Your files do not speak of that."};
      return {std::move(found), true};
    }
    fail(ErrorCode::failure, "there is no tool \"{}\"", name);
  } catch (const Error& error) {
    std::string text = sentence(error.what());
    text[0] = static_cast<char>(std::toupper(static_cast<unsigned char>(text[0])));
    return {std::move(text)};
  }
}

}  // namespace mynah::assistant
