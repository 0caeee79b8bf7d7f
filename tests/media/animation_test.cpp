// Moving pictures: written and read back, frames chosen by time, folders in the order of their numbers, other formats by mynah-media.
#include "media/animation.h"

#include <gtest/gtest.h>

#include <cstring>
#include <filesystem>
#include <fstream>

#include "base/file.h"
#include "media/media_program.h"
#include "mynah/error.h"

namespace mynah::media {
namespace {

namespace fs = std::filesystem;

Image plain(int64_t width, int64_t height, uint8_t grey) { return {width, height, std::vector<uint8_t>(static_cast<size_t>(width * height * 3), grey)}; }

class Moving : public testing::Test {
 protected:
  void SetUp() override {
    folder_ = fs::temp_directory_path() / ("mynah_" + std::string(testing::UnitTest::GetInstance()->current_test_info()->name()));
    fs::remove_all(folder_);
    fs::create_directories(folder_);
  }
  void TearDown() override { fs::remove_all(folder_); }
  void write(const std::string& name, const std::vector<std::byte>& bytes) const {
    std::ofstream(folder_ / name, std::ios::binary).write(reinterpret_cast<const char*>(bytes.data()), static_cast<std::streamsize>(bytes.size()));
  }
  fs::path folder_;
};

std::vector<std::byte> animation(int frames, double step) {
  AnimationWriter writer(40, 30);
  for (int i = 0; i < frames; ++i) writer.add(plain(40, 30, static_cast<uint8_t>(20 * i)), step * i);
  return writer.finish();
}

TEST_F(Moving, AnimationsComeBack) {
  const auto bytes = animation(6, 0.25);
  ASSERT_TRUE(is_animated_webp(bytes));
  std::vector<double> times;
  decode_animation(bytes, "a", [&](Frame&& f) {
    EXPECT_EQ(f.image.width, 40);
    EXPECT_EQ(f.image.height, 30);
    EXPECT_NEAR(f.image.rgb[600], 20.0 * static_cast<double>(times.size()), 6);
    times.push_back(f.seconds);
    return true;
  });
  EXPECT_EQ(times, (std::vector<double>{0, 0.25, 0.5, 0.75, 1, 1.25}));
  // A picture of it is its first frame.
  EXPECT_NEAR(decode_image(bytes, "a").rgb[600], 0, 6);
}

TEST_F(Moving, FramesAreChosenByTime) {
  write("a.webp", animation(12, 0.1));
  const auto times = [&](double rate) {
    std::vector<double> out;
    for_each_frame(folder_ / "a.webp", rate, [&](Frame&& f) {
      out.push_back(f.seconds);
      return true;
    });
    return out;
  };
  EXPECT_EQ(times(0).size(), 12u);
  EXPECT_EQ(times(2), (std::vector<double>{0, 0.5, 1}));
  EXPECT_EQ(times(4), (std::vector<double>{0, 0.3, 0.5, 0.8, 1}));
  int seen = 0;
  for_each_frame(folder_ / "a.webp", 0, [&](Frame&&) { return ++seen < 3; });
  EXPECT_EQ(seen, 3);
}

TEST_F(Moving, FoldersAreReadInTheOrderOfTheirNumbers) {
  for (const char* name : {"frame10.png", "frame9.png", "frame1.png", "frame010b.png", "a.png"}) write_image(folder_ / name, plain(4, 4, 9));
  write_image(folder_ / ".hidden.png", plain(4, 4, 9));
  std::ofstream(folder_ / "notes.txt") << "no picture";
  std::vector<std::string> names;
  std::vector<double> times;
  for_each_frame(folder_, 2, [&](Frame&& f) {
    names.push_back(f.name);
    times.push_back(f.seconds);
    return true;
  });
  EXPECT_EQ(names, (std::vector<std::string>{"a.png", "frame1.png", "frame9.png", "frame10.png", "frame010b.png"}));
  EXPECT_EQ(times, (std::vector<double>{0, 0.5, 1, 1.5, 2}));
}

TEST_F(Moving, PicturesThatCannotBeReadAreSkippedWhereThatIsAllowed) {
  for (const char* name : {"1.png", "3.png"}) write_image(folder_ / name, plain(4, 4, 9));
  std::ofstream(folder_ / "2.png") << "no picture";
  std::vector<std::string> names, skipped;
  std::vector<double> times;
  const auto take = [&](Frame&& f) {
    names.push_back(f.name);
    times.push_back(f.seconds);
    return true;
  };
  for_each_frame(folder_, 0, take, [&](const std::string& why) { skipped.push_back(why); });
  EXPECT_EQ(names, (std::vector<std::string>{"1.png", "3.png"}));
  EXPECT_EQ(times, (std::vector<double>{0, 2}));
  ASSERT_EQ(skipped.size(), 1u);
  EXPECT_NE(skipped[0].find("2.png"), std::string::npos);
  EXPECT_THROW(for_each_frame(folder_, 0, take), Error);
  for (const char* name : {"1.png", "3.png"}) fs::remove(folder_ / name);
  EXPECT_THROW(for_each_frame(folder_, 0, take, [](const std::string&) {}), Error) << "not one could be read";
}

TEST_F(Moving, SaysWhatIsWrong) {
  EXPECT_THROW(for_each_frame(folder_ / "gone", 0, [](Frame&&) { return true; }), Error);
  EXPECT_THROW(for_each_frame(folder_, 0, [](Frame&&) { return true; }), Error);
  auto bytes = animation(6, 0.25);
  bytes.resize(bytes.size() / 2);
  EXPECT_THROW(decode_animation(bytes, "a", [](Frame&&) { return true; }), Error);
  AnimationWriter writer(40, 30);
  EXPECT_THROW(writer.add(plain(30, 40, 0), 0), Error);
  EXPECT_THROW(writer.finish(), Error);
}

// An uncompressed AVI with `frames` grey pictures at 10 a second.
std::string avi(uint32_t width, uint32_t height, uint32_t frames) {
  const auto number = [](uint32_t v, int bytes = 4) {
    std::string s;
    for (int i = 0; i < bytes; ++i) s += static_cast<char>(v >> (8 * i) & 255);
    return s;
  };
  const auto chunk = [&](const std::string& name, const std::string& body) { return name + number(static_cast<uint32_t>(body.size())) + body; };
  const uint32_t row = (width * 3 + 3) / 4 * 4, size = row * height;
  const std::string format = number(40) + number(width) + number(height) + number(1, 2) + number(24, 2) + number(0) + number(size) + std::string(16, '\0');
  const std::string stream = "vids" + std::string(4, '\0') + std::string(12, '\0') + number(1) + number(10) + number(0) + number(frames) + number(size) + number(0) + number(0) + std::string(8, '\0');
  const std::string head = number(100000) + number(0) + number(0) + number(0x10) + number(frames) + number(0) + number(1) + number(size) + number(width) + number(height) + std::string(16, '\0');
  std::string pictures = "movi";
  for (uint32_t i = 0; i < frames; ++i) pictures += chunk("00db", std::string(size, static_cast<char>(20 * i)));
  const std::string lists = "AVI " + chunk("LIST", "hdrl" + chunk("avih", head) + chunk("LIST", "strl" + chunk("strh", stream) + chunk("strf", format))) + chunk("LIST", pictures);
  return chunk("RIFF", lists);
}

TEST_F(Moving, OtherFormatsComeThroughTheProgram) {
  if (!has_media_program()) GTEST_SKIP() << "mynah-media is not in PATH";
  std::ofstream(folder_ / "a.avi", std::ios::binary) << avi(32, 24, 8);
  std::vector<double> times;
  for_each_frame(folder_ / "a.avi", 0, [&](Frame&& f) {
    EXPECT_EQ(f.image.width, 32);
    EXPECT_EQ(f.image.height, 24);
    EXPECT_NEAR(f.image.rgb[300], 20.0 * static_cast<double>(times.size()), 2);
    times.push_back(f.seconds);
    return true;
  });
  ASSERT_EQ(times.size(), 8u);
  EXPECT_NEAR(times[3], 0.3, 1e-6);
  int few = 0;
  for_each_frame(folder_ / "a.avi", 5, [&](Frame&&) { return ++few > 0; });
  EXPECT_EQ(few, 4);
  // A picture of another format: a BMP, in memory.
  const std::string pixels(4 * 4 * 3, '\x40');
  std::string bmp = "BM" + std::string("\x66\0\0\0\0\0\0\0\x36\0\0\0", 12) + std::string("\x28\0\0\0\x04\0\0\0\x04\0\0\0\x01\0\x18\0\0\0\0\0\x30\0\0\0", 24) + std::string(16, '\0') + pixels;
  const Image picture = decode_image(std::as_bytes(std::span(bmp)), "b");
  EXPECT_EQ(picture.width, 4);
  EXPECT_EQ(picture.rgb, std::vector<uint8_t>(48, 0x40));
  // What it cannot read is said in one line.
  std::ofstream(folder_ / "no.avi", std::ios::binary) << "RIFF nothing of the kind";
  try {
    for_each_frame(folder_ / "no.avi", 0, [](Frame&&) { return true; });
    FAIL();
  } catch (const Error& e) {
    EXPECT_NE(std::string(e.what()).find("no.avi: not a file that is known"), std::string::npos) << e.what();
  }
  EXPECT_THROW(decode_sound(std::as_bytes(std::span(bmp)), "b"), Error);
}

}  // namespace
}  // namespace mynah::media
