#include "mynah/error.h"

#include <gtest/gtest.h>

#include "base/require.h"

namespace mynah {
namespace {

TEST(Error, ExitCodesAreThoseOfTheCommandLine) {
  EXPECT_EQ(exit_code(ErrorCode::failure), 1);
  EXPECT_EQ(exit_code(ErrorCode::usage), 2);
  EXPECT_EQ(exit_code(ErrorCode::not_found), 3);
  EXPECT_EQ(exit_code(ErrorCode::network), 4);
  EXPECT_EQ(exit_code(ErrorCode::integrity), 5);
  EXPECT_EQ(exit_code(ErrorCode::does_not_fit), 6);
  EXPECT_EQ(exit_code(ErrorCode::auth), 7);
  EXPECT_EQ(exit_code(ErrorCode::busy), 8);
  EXPECT_EQ(exit_code(ErrorCode::interrupted), 130);
  EXPECT_EQ(exit_code(ErrorCode::internal), 1);
}

TEST(Error, RequireThrowsOnlyWhenTheConditionFails) {
  EXPECT_NO_THROW(require(true, "never"));
  try {
    require(false, "linear: got {}, expected {}", 3, 4);
    FAIL() << "did not throw";
  } catch (const Error& e) {
    EXPECT_STREQ(e.what(), "linear: got 3, expected 4");
    EXPECT_EQ(e.code(), ErrorCode::failure);
  }
}

TEST(Error, ABrokenPromiseIsReportedAsOurBugWithItsPlace) {
  try {
    MYNAH_CHECK(1 + 1 == 3);
    FAIL() << "did not throw";
  } catch (const Error& e) {
    EXPECT_EQ(e.code(), ErrorCode::internal);
    const std::string text = e.what();
    EXPECT_NE(text.find("error_test.cpp"), std::string::npos) << text;
    EXPECT_NE(text.find("1 + 1 == 3"), std::string::npos) << text;
    EXPECT_EQ(text.find('\n'), std::string::npos) << text;
  }
}

}  // namespace
}  // namespace mynah
