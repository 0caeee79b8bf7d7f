// What people see of results.
#include <gtest/gtest.h>

#include "mynah/json.h"
#include "tasks/registry.h"
#include "tasks/show.h"

namespace mynah::tasks {
namespace {

// Whisper's texts begin with a space, and so does the JSON, as the reference has it.
TEST(Show, TranscriptsBeginWithTheirFirstWord) {
  const TaskEntry& entry = find_task("automatic-speech-recognition");
  EXPECT_EQ(entry.show("a.wav", {{"text", " The mynah speaks."}}, {}), "The mynah speaks.\n");
  EXPECT_EQ(entry.show("a.wav", {{"text", "  "}}, {}), "\n");
  const Json words = {{{"text", " The"}, {"timestamp", {0.0, 0.25}}}, {{"text", " mynah"}, {"timestamp", {0.25, nullptr}}}};
  EXPECT_EQ(entry.show("a.wav", {{"text", " The mynah"}, {"chunks", words}}, {}), "[   0.00    0.25] The\n[   0.25        ] mynah\n");
}

}  // namespace
}  // namespace mynah::tasks
