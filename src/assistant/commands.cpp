#include "assistant/commands.h"

#include <algorithm>
#include <vector>

#include "assistant/calculator.h"
#include "assistant/spoken.h"
#include "base/require.h"
#include "mynah/json.h"

namespace mynah::assistant {
namespace {

// A pattern is words: "a|b" is one of several, "a?" may be missing, "{x}" is one or more words. What is in slots becomes arguments.
struct Rule {
  const char* pattern;
  const char* tool;
};

constexpr Rule kRules[] = {
    {"what time is it now|here?", "get_time"},
    {"what is the time now|here?", "get_time"},
    {"tell me the|what time it|is? is?", "get_time"},
    {"do you know|have what|the time it? is?", "get_time"},
    {"what|which day is it|today today?", "get_date"},
    {"what is the|today's date|day today|now?", "get_date"},
    {"what is today", "get_date"},
    {"tell me the|today's date|day today?", "get_date"},
    {"what is|are {expression}", "calculate"},
    {"how much|many is|are {expression}", "calculate"},
    {"calculate|compute {expression}", "calculate"},
    {"work out {expression}", "calculate"},
    {"{expression}", "calculate"},
    {"set|start|make a|the? timer|alarm for|of {duration}", "set_timer"},
    {"set|start|make|give me? a|an? {duration} timer|alarm", "set_timer"},
    {"timer for? {duration}", "set_timer"},
    {"{duration} timer", "set_timer"},
    {"wake|call|alert me in|after {duration}", "set_timer"},
    {"remind me in|after {duration}", "set_timer"},
    {"remind me in|after {duration} to|of|about|that {label}", "set_timer"},
    {"remind me to|of|about|that {label} in|after {duration}", "set_timer"},
    {"stop|cancel|delete|clear|end all? of? the|my? timer|timers|alarm|alarms", "cancel_timers"},
    {"how much time is|do left|i? have? left? on? the|my? timer?", "list_timers"},
    {"how long is left|to|does? go? on? the|my? timer? have? left?", "list_timers"},
    {"what|which timers are|do running|set|there|i? have?", "list_timers"},
    {"how many timers are|do running|there|i have?", "list_timers"},
    {"do i have any|some? timers", "list_timers"},
    {"list|show|read me? all? the|my? timers", "list_timers"},
    {"take|make|write|add|leave a|this? note that|saying|to? {text}", "add_note"},
    {"note down|that|this? {text}", "add_note"},
    {"write|take|put|jot down that? {text}", "add_note"},
    {"remember that {text}", "add_note"},
    {"add|put {text} to|on|in my|the notes|list", "add_note"},
    {"what are|is in|on? my|the notes", "read_notes"},
    {"what|which notes are|do there|i have?", "read_notes"},
    {"how many notes are|do there|i have?", "read_notes"},
    {"do i have any|some? notes", "read_notes"},
    {"what did i note|write down?", "read_notes"},
    {"read|show|list|tell me? all? my|the notes to|me? me?", "read_notes"},
    {"delete|remove|forget|clear|erase the|my last|latest|newest note", "remove_last_note"},
    {"delete|remove|forget|clear|erase all|of? of|the|my? the|my? notes", "remove_all_notes"},
    {"search|look|check in|through|at? my|the files|documents|folder for|about {query}", "search_files"},
    {"search|look|find for? {query} in my|the files|documents|folder", "search_files"},
    {"find|look up? {query} in my|the files|documents|folder", "search_files"},
    {"what do|does my|the files|documents|folder say|tell me? about|on {query}", "search_files"},
    {"stop|quiet|silence|enough it|that|talking|now?", "stop"},
    {"be|keep quiet|silent", "stop"},
    {"shut up", "stop"},
    {"never mind", "stop"},
    {"cancel that?", "stop"},
    {"repeat|say that|it? again|please?", "repeat"},
    {"what did you say", "repeat"},
    {"goodbye|bye|bye-bye bye?", "goodbye"},
    {"good bye", "goodbye"},
    {"see you later|soon|tomorrow?", "goodbye"},
    {"that is all for|now? now?", "goodbye"},
};

struct Slot {
  std::string name;
  size_t begin, end;  // words
};

std::vector<std::string_view> split(std::string_view text, char by) {
  std::vector<std::string_view> parts;
  for (size_t at = 0; at <= text.size();) {
    const size_t end = std::min(text.find(by, at), text.size());
    if (end > at) parts.push_back(text.substr(at, end - at));
    at = end + 1;
  }
  return parts;
}

bool valid(const Slot& slot, std::span<const std::string> words) {
  const auto inside = words.subspan(slot.begin, slot.end - slot.begin);
  if (slot.name == "duration") {
    size_t at = 0;
    return read_duration(inside, &at) && at == inside.size();
  }
  if (slot.name == "expression") {
    std::string text;
    for (const std::string& w : inside) text += w + " ";
    try {
      return calculate(text).has_value();
    } catch (const Error&) {
      return true;  // arithmetic without a result: the tool says why
    }
  }
  return true;
}

// Tries everything that fits, with the shortest slots first. Steps are counted: what is heard may be long.
bool matches(std::span<const std::string_view> pattern, std::span<const std::string> words, size_t at, std::vector<Slot>* slots, int* steps) {
  if (--*steps < 0) return false;
  if (pattern.empty()) return at == words.size();
  std::string_view part = pattern[0];
  if (part[0] == '{') {
    const std::string name(part.substr(1, part.size() - 2));
    for (size_t end = at + 1; end <= words.size(); ++end) {
      const Slot slot{name, at, end};
      const size_t kept = slots->size();
      if (pattern.size() == 1 && end < words.size()) continue;
      slots->push_back(slot);
      if (matches(pattern.subspan(1), words, end, slots, steps) && valid(slot, words)) return true;
      slots->resize(kept);
    }
    return false;
  }
  const bool optional = part.back() == '?';
  if (optional) part.remove_suffix(1);
  const size_t kept = slots->size();
  if (at < words.size()) {
    const auto choices = split(part, '|');
    if (std::find(choices.begin(), choices.end(), words[at]) != choices.end() && matches(pattern.subspan(1), words, at + 1, slots, steps)) return true;
    slots->resize(kept);
  }
  return optional && matches(pattern.subspan(1), words, at, slots, steps);
}

// How many words of politeness stand at [at], by what may stand there.
size_t polite_length(std::span<const SpokenWord> words, size_t at, std::initializer_list<std::initializer_list<std::string_view>> phrases) {
  for (const auto& phrase : phrases) {
    size_t i = at;
    bool fits = at + phrase.size() <= words.size();
    for (const std::string_view word : phrase) fits = fits && words[i++].text == word;
    if (fits) return phrase.size();
  }
  return 0;
}

// Without "hey mynah, could you ... please".
std::span<const SpokenWord> bare(std::span<const SpokenWord> words) {
  for (size_t n = 1; n > 0 && !words.empty(); words = words.subspan(n))
    n = polite_length(words, 0, {{"can", "you", "please"}, {"could", "you", "please"}, {"can", "you"}, {"could", "you"}, {"would", "you"}, {"will", "you"}, {"i", "want", "you", "to"},
                                 {"i", "would", "like", "you", "to"}, {"i'd", "like", "you", "to"}, {"please"}, {"okay"}, {"ok"}, {"hey"}, {"hi"}, {"hello"}, {"mynah"}, {"myna"},
                                 {"computer"}, {"so"}, {"um"}, {"uh"}, {"well"}, {"and"}, {"now"}});
  for (bool more = true; more && !words.empty();) {
    more = false;
    for (const size_t n : {3, 2, 1}) {
      if (words.size() < n || polite_length(words, words.size() - n, {{"thank", "you"}, {"for", "me"}, {"please"}, {"thanks"}, {"mynah"}, {"would", "you", "please"}}) != n) continue;
      // "Search my files for mynah" is about the bird.
      const std::string_view before = words.size() > n ? std::string_view(words[words.size() - n - 1].text) : "";
      if (words.back().text == "mynah" && (before == "for" || before == "about" || before == "on")) continue;
      words = words.first(words.size() - n);
      more = true;
      break;
    }
  }
  return words;
}

}  // namespace

std::optional<Command> understand(std::string_view heard) {
  constexpr size_t kMostWords = 60;
  const std::vector<SpokenWord> all = spoken_words_in(heard, kMostWords + 1);
  if (all.size() > kMostWords) return std::nullopt;
  const std::span<const SpokenWord> places = bare(all);
  if (places.empty()) return std::nullopt;
  // "what's" is two words at one place.
  std::vector<std::string> words;
  std::vector<SpokenWord> at;
  for (const SpokenWord& w : places) {
    const bool contracted = w.text == "what's" || w.text == "that's" || w.text == "how's";
    words.push_back(contracted ? w.text.substr(0, w.text.size() - 2) : w.text);
    at.push_back(w);
    if (!contracted) continue;
    words.push_back("is");
    at.push_back(w);
  }
  for (const Rule& rule : kRules) {
    std::vector<Slot> slots;
    int steps = 20'000;
    if (!matches(split(rule.pattern, ' '), words, 0, &slots, &steps)) continue;
    Command command{rule.tool, Json::object()};
    for (const Slot& slot : slots) {
      const size_t begin = at[slot.begin].begin, end = at[slot.end - 1].end;
      command.arguments[slot.name] = heard.substr(begin, end - begin);
    }
    return command;
  }
  return std::nullopt;
}

}  // namespace mynah::assistant
