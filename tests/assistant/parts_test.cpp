// What an assistant understands without a model: numbers, durations, arithmetic, commands, timers, notes, sentences.
#include <gtest/gtest.h>

#include <filesystem>
#include <fstream>

#include "assistant/calculator.h"
#include "assistant/commands.h"
#include "assistant/notes.h"
#include "assistant/sentences.h"
#include "assistant/spoken.h"
#include "assistant/tools.h"
#include "mynah/error.h"
#include "mynah/json.h"

namespace mynah::assistant {
namespace {

std::optional<double> number(const std::string& text) {
  const auto words = spoken_words(text);
  size_t at = 0;
  const auto value = read_number(words, &at);
  return value && at == words.size() ? value : std::nullopt;
}

std::optional<double> duration(const std::string& text) {
  const auto words = spoken_words(text);
  size_t at = 0;
  const auto value = read_duration(words, &at);
  return value && at == words.size() ? value : std::nullopt;
}

TEST(Spoken, Numbers) {
  const std::pair<const char*, double> right[] = {{"zero", 0},
                                                  {"twelve", 12},
                                                  {"twenty-five", 25},
                                                  {"Twenty five.", 25},
                                                  {"one hundred and five", 105},
                                                  {"a hundred", 100},
                                                  {"two thousand twenty four", 2024},
                                                  {"two thousand and one", 2001},
                                                  {"three hundred forty five thousand six hundred seventy eight", 345678},
                                                  {"1.5 million", 1.5e6},
                                                  {"three point one four", 3.14},
                                                  {"1,234.5", 1234.5},
                                                  {"42", 42}};
  for (const auto& [text, value] : right) {
    ASSERT_TRUE(number(text)) << text;
    EXPECT_NEAR(*number(text), value, 1e-9) << text;
  }
  for (const char* text : {"", "bird", "two three", "five twenty", "12,34", "twenty twenty", "one and", "and one", "ten five"}) EXPECT_FALSE(number(text)) << text;
}

TEST(Spoken, Durations) {
  const std::pair<const char*, double> right[] = {{"5 minutes", 300},        {"a minute", 60},
                                                  {"an hour", 3600},         {"half an hour", 1800},
                                                  {"a quarter of an hour", 900}, {"an hour and a half", 5400},
                                                  {"two and a half hours", 9000}, {"two minutes and ten seconds", 130},
                                                  {"1 hour 5 minutes", 3900}, {"90 seconds", 90},
                                                  {"1.5 hours", 5400}};
  for (const auto& [text, value] : right) EXPECT_EQ(duration(text).value_or(-1), value) << text;
  for (const char* text : {"five", "minutes", "five birds", "half", ""}) EXPECT_FALSE(duration(text)) << text;
  EXPECT_EQ(duration_text(300), "5 minutes");
  EXPECT_EQ(duration_text(3661), "1 hour, 1 minute and 1 second");
  EXPECT_EQ(duration_text(90000), "1 day and 1 hour");
  EXPECT_EQ(duration_text(0), "0 seconds");
}

TEST(Spoken, NumbersAsText) {
  EXPECT_EQ(number_text(0.1 + 0.2), "0.3");
  EXPECT_EQ(number_text(1200000), "1200000");
  EXPECT_EQ(number_text(-2.5), "-2.5");
  EXPECT_EQ(number_text(1.0 / 3), "0.3333333333");
  EXPECT_EQ(number_text(100), "100");
  EXPECT_EQ(number_text(-0.0), "0");
}

TEST(Calculator, WorksOutWhatPeopleSay) {
  const std::pair<const char*, double> right[] = {{"two plus two", 4},
                                                  {"3 * (4 + 5)", 27},
                                                  {"3*4+5", 17},
                                                  {"two plus three times four", 14},
                                                  {"12 - 7", 5},
                                                  {"12-7", 5},
                                                  {"5x3", 15},
                                                  {"ten minus four minus three", 3},
                                                  {"100 divided by 8", 12.5},
                                                  {"15% of 80", 12},
                                                  {"twenty percent of fifty", 10},
                                                  {"the square root of sixteen", 4},
                                                  {"two to the power of ten", 1024},
                                                  {"2^3^2", 512},
                                                  {"five squared", 25},
                                                  {"half of thirty", 15},
                                                  {"minus three plus five", 2},
                                                  {"-2 * -3", 6},
                                                  {"7 \xC3\xB7 2 =", 3.5}};
  for (const auto& [text, value] : right) {
    const auto got = calculate(text);
    ASSERT_TRUE(got) << text;
    EXPECT_NEAR(*got, value, 1e-9) << text;
  }
  for (const char* text : {"", "42", "two birds plus one", "plus", "(2 + 3", "2 + 3)", "the weather", "2 + + 3"}) EXPECT_FALSE(calculate(text)) << text;
  EXPECT_FALSE(calculate(std::string(5000, '(') + "1"));
  EXPECT_THROW(calculate("five divided by zero"), Error);
  EXPECT_THROW(calculate("the square root of minus one"), Error);
  EXPECT_THROW(calculate("10 ^ 400"), Error);
}

std::string understood(const std::string& text) {
  const auto command = understand(text);
  if (!command) return "";
  return command->tool + (command->arguments.empty() ? "" : " " + command->arguments.dump());
}

TEST(Commands, AreUnderstood) {
  const std::pair<const char*, const char*> right[] = {
      {"What time is it?", "get_time"},
      {"Hey mynah, what's the time, please?", "get_time"},
      {"Could you tell me the time?", "get_time"},
      {"What's the date today?", "get_date"},
      {"What day is it?", "get_date"},
      {"What is 12 times 7?", R"(calculate {"expression":"12 times 7"})"},
      {"How much is 15% of 80?", R"(calculate {"expression":"15% of 80"})"},
      {"Three plus four.", R"(calculate {"expression":"Three plus four"})"},
      {"What is five divided by zero?", R"(calculate {"expression":"five divided by zero"})"},
      {"Set a timer for five minutes.", R"(set_timer {"duration":"five minutes"})"},
      {"Please set a 10 minute timer.", R"(set_timer {"duration":"10 minute"})"},
      {"Remind me to call Anna in half an hour.", R"(set_timer {"label":"call Anna","duration":"half an hour"})"},
      {"Remind me in 2 hours to feed the bird", R"(set_timer {"duration":"2 hours","label":"feed the bird"})"},
      {"Cancel the timer.", "cancel_timers"},
      {"How much time is left on the timer?", "list_timers"},
      {"Do I have any timers?", "list_timers"},
      {"How many timers are running?", "list_timers"},
      {"Take a note: buy Milk, and bread.", R"(add_note {"text":"buy Milk, and bread"})"},
      {"Remember that Peter's birthday is on May 3.", R"(add_note {"text":"Peter's birthday is on May 3"})"},
      {"Add eggs to my list.", R"(add_note {"text":"eggs"})"},
      {"What are my notes?", "read_notes"},
      {"Read me my notes.", "read_notes"},
      {"What notes do I have?", "read_notes"},
      {"Which notes are there?", "read_notes"},
      {"How many notes do I have?", "read_notes"},
      {"Do I have any notes?", "read_notes"},
      {"Delete the last note.", "remove_last_note"},
      {"Delete all my notes, please.", "remove_all_notes"},
      {"Search my files for mynah.", R"(search_files {"query":"mynah"})"},
      {"Search my files for the parser.", R"(search_files {"query":"the parser"})"},
      {"What do my documents say about birds?", R"(search_files {"query":"birds"})"},
      {"Stop.", "stop"},
      {"Say that again.", "repeat"},
      {"Goodbye!", "goodbye"},
  };
  for (const auto& [text, command] : right) EXPECT_EQ(understood(text), command) << text;
}

TEST(Commands, OtherSpeechIsNone) {
  for (const char* text : {"", "Hello.", "Hey mynah!", "What is a bird?", "Tell me a story about time.", "Why is the sky blue?", "What is 5?", "Set the table for five people.",
                           "Remind me of my childhood.", "Stop the car in the city."})
    EXPECT_EQ(understood(text), "") << text;
  std::string longest;
  for (int i = 0; i < 5000; ++i) longest += "remind me to ";
  EXPECT_EQ(understood(longest), "");
}

class Tools : public testing::Test {
 protected:
  void SetUp() override {
    file_ = std::filesystem::temp_directory_path() / ("mynah_notes_" + std::string(testing::UnitTest::GetInstance()->current_test_info()->name()));
    std::filesystem::remove(file_);
    std::tm tm{};
    tm.tm_year = 124, tm.tm_mon = 4, tm.tm_mday = 6, tm.tm_hour = 19, tm.tm_min = 8, tm.tm_isdst = -1;
    settings_.begin = std::mktime(&tm);
    settings_.notes = file_;
  }
  void TearDown() override { std::filesystem::remove(file_); }
  std::filesystem::path file_;
  ToolSettings settings_;
};

TEST_F(Tools, TellTheTime) {
  Toolbox box(settings_);
  EXPECT_EQ(box.call("get_time", {}).text, "It is 7:08 PM.");
  EXPECT_EQ(box.call("get_date", {}).text, "Today is Monday, May 6, 2024.");
  box.set_now(5 * 3600);
  EXPECT_EQ(box.call("get_time", {}).text, "It is 12:08 AM.");
  EXPECT_EQ(box.call("get_date", {}).text, "Today is Tuesday, May 7, 2024.");
}

TEST_F(Tools, TimersRingInTheirOrder) {
  Toolbox box(settings_);
  EXPECT_EQ(box.call("list_timers", {}).text, "No timer is running.");
  EXPECT_EQ(box.call("set_timer", {{"duration", "two minutes"}}).text, "A timer of 2 minutes is set.");
  EXPECT_EQ(box.call("set_timer", {{"duration", 30}, {"label", "feed the bird"}}).text, "I will remind you in 30 seconds.");
  box.set_now(10);
  EXPECT_EQ(box.call("list_timers", {}).text, "2 timers: 20 seconds left for: feed the bird, 1 minute and 50 seconds left.");
  EXPECT_TRUE(box.timers().ended(29).empty());
  const auto ended = box.timers().ended(200);
  ASSERT_EQ(ended.size(), 2u);
  EXPECT_EQ(ring_text(ended[0]), "You wanted to be reminded: feed the bird.");
  EXPECT_EQ(ring_text(ended[1]), "Your timer of 2 minutes is over.");
  EXPECT_EQ(box.call("cancel_timers", {}).text, "No timer was running.");
  EXPECT_EQ(box.call("set_timer", {{"duration", "a bird"}}).text, "\"a bird\" is no duration; say it like 5 minutes.");
  EXPECT_EQ(box.call("set_timer", {}).text, "The tool needs the text \"duration\".");
}

TEST_F(Tools, NotesAreKeptInAFile) {
  Toolbox box(settings_);
  EXPECT_EQ(box.call("read_notes", {}).text, "You have no notes.");
  EXPECT_EQ(box.call("add_note", {{"text", "buy milk"}}).text, "I noted that.");
  box.call("add_note", {{"text", "two\nlines!"}});
  EXPECT_EQ(Toolbox(settings_).call("read_notes", {}).text, "You have 2 notes. buy milk. two lines!");
  std::ifstream in(file_);
  EXPECT_EQ(std::string(std::istreambuf_iterator<char>(in), {}), "buy milk\ntwo lines!\n");
  EXPECT_EQ(box.call("remove_last_note", {}).text, "I removed the note: two lines!");
  EXPECT_EQ(box.call("remove_all_notes", {}).text, "1 note removed.");
  EXPECT_EQ(box.call("read_notes", {}).text, "You have no notes.");
}

TEST_F(Tools, SearchOnlyWhereThereAreFiles) {
  Toolbox without(settings_);
  EXPECT_EQ(without.call("search_files", {{"query", "bird"}}).text, "There are no files to search; start with a folder of files.");
  settings_.search = [](const std::string& query) { return query == "bird" ? "[a.md, line 1]\nThe bird sings.\n" : ""; };
  Toolbox with(settings_);
  EXPECT_TRUE(with.call("search_files", {{"query", "bird"}}).passages);
  EXPECT_EQ(with.call("search_files", {{"query", "cat"}}).text, "Your files do not speak of that.");
  EXPECT_EQ(with.descriptions().size(), without.descriptions().size() + 1);
  EXPECT_EQ(without.call("open_door", {}).text, "There is no tool \"open_door\".");
}

TEST(Sentences, ComeAsSoonAsTheyAreComplete) {
  SentenceCutter cutter;
  EXPECT_TRUE(cutter.push("The bird").empty());
  EXPECT_TRUE(cutter.push(" sings.").empty());
  EXPECT_EQ(cutter.push(" It"), std::vector<std::string>{"The bird sings."});
  EXPECT_EQ(cutter.push(" costs 3.5 dollars. Dr. Smith"), std::vector<std::string>{"It costs 3.5 dollars."});
  EXPECT_TRUE(cutter.push(" came").empty());
  EXPECT_EQ(cutter.finish(), std::vector<std::string>{"Dr. Smith came"});
  EXPECT_TRUE(cutter.finish().empty());
}

TEST(Sentences, MarksAreNotSpoken) {
  SentenceCutter cutter;
  const auto lines = cutter.push("# Birds\n\n1. **Parrots** talk.\n- `Mynahs` too\n");
  EXPECT_EQ(lines, (std::vector<std::string>{"Birds", "Parrots talk.", "Mynahs too"}));
}

}  // namespace
}  // namespace mynah::assistant
