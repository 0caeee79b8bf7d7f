#include "base/file.h"

#include <gtest/gtest.h>
#include <sys/resource.h>
#include <unistd.h>

#include <csignal>
#include <fstream>

#include "mynah/error.h"

namespace mynah {
namespace {

namespace fs = std::filesystem;

class FileTest : public ::testing::Test {
 protected:
  FileTest() : folder_(fs::temp_directory_path() / ("mynah-file-test-" + std::to_string(::getpid()))) {
    fs::create_directories(folder_);
  }
  ~FileTest() override { fs::remove_all(folder_); }
  size_t entries() const {
    return static_cast<size_t>(std::distance(fs::directory_iterator(folder_), fs::directory_iterator()));
  }

  fs::path folder_;
};

ErrorCode code_from(auto&& call) {
  try {
    call();
  } catch (const Error& e) {
    EXPECT_EQ(std::string(e.what()).find('\n'), std::string::npos) << e.what();
    return e.code();
  }
  return ErrorCode::internal;
}

TEST_F(FileTest, MapsWhatWasWritten) {
  const fs::path path = folder_ / "a";
  AtomicFile file(path);
  file.write("hello ");
  file.write("world");
  EXPECT_EQ(file.written(), 11u);
  file.commit();
  const auto mapped = MappedFile::open(path);
  EXPECT_EQ(std::string_view(reinterpret_cast<const char*>(mapped->bytes().data()), mapped->bytes().size()),
            "hello world");
  EXPECT_EQ(mapped->path(), path);
  EXPECT_EQ(read_text_file(path), "hello world");
  mapped->prefetch(mapped->bytes().data(), 11);
  mapped->drop(mapped->bytes().data(), 11);
  EXPECT_EQ(mapped->bytes()[0], std::byte{'h'});
  EXPECT_EQ(entries(), 1u);
}

TEST_F(FileTest, NothingAppearsBeforeCommitAndNothingIsLeftWithoutIt) {
  const fs::path path = folder_ / "a";
  {
    AtomicFile file(path);
    file.write("half");
    EXPECT_FALSE(fs::exists(path));
  }
  EXPECT_EQ(entries(), 0u);
}

TEST_F(FileTest, AnOldFileStaysUntilTheNewOneIsWhole) {
  const fs::path path = folder_ / "a";
  std::ofstream(path) << "old";
  const auto before = MappedFile::open(path);
  AtomicFile file(path);
  file.write("new content");
  EXPECT_EQ(read_text_file(path), "old");
  file.commit();
  EXPECT_EQ(read_text_file(path), "new content");
  EXPECT_EQ(before->bytes().size(), 3u) << "a mapping keeps the old file";
  EXPECT_EQ(before->bytes()[0], std::byte{'o'});
}

TEST_F(FileTest, SeveralWritersOfOneNameDoNotDisturbEachOther) {
  const fs::path path = folder_ / "a";
  AtomicFile first(path), second(path);
  first.write("first");
  second.write("second");
  first.commit();
  second.commit();
  EXPECT_EQ(read_text_file(path), "second");
  EXPECT_EQ(entries(), 1u);
}

TEST_F(FileTest, AnEmptyFileIsEmptyAndNoError) {
  const fs::path path = folder_ / "empty";
  AtomicFile(path).commit();
  EXPECT_TRUE(MappedFile::open(path)->bytes().empty());
  EXPECT_EQ(read_text_file(path), "");
}

TEST_F(FileTest, ErrorsNameTheReason) {
  EXPECT_EQ(code_from([&] { MappedFile::open(folder_ / "absent"); }), ErrorCode::not_found);
  EXPECT_EQ(code_from([&] { MappedFile::open(folder_); }), ErrorCode::failure);
  EXPECT_EQ(code_from([&] { AtomicFile(folder_ / "no" / "folder"); }), ErrorCode::not_found);
  fs::create_symlink("/dev/null", folder_ / "null");
  EXPECT_EQ(code_from([&] { MappedFile::open(folder_ / "null"); }), ErrorCode::failure);
  std::ofstream(folder_ / "long") << std::string(100, 'x');
  EXPECT_EQ(read_text_file(folder_ / "long", 100).size(), 100u);
  EXPECT_EQ(code_from([&] { read_text_file(folder_ / "long", 99); }), ErrorCode::does_not_fit);
}

TEST_F(FileTest, AWriteThatFailsInTheMiddleLeavesTheOldFile) {
  const fs::path path = folder_ / "a";
  std::ofstream(path) << "old";
  // A limit on file sizes stands in for a full disk.
  rlimit before;
  ASSERT_EQ(::getrlimit(RLIMIT_FSIZE, &before), 0);
  const rlimit small{4096, before.rlim_max};
  const auto old_handler = std::signal(SIGXFSZ, SIG_IGN);
  ASSERT_EQ(::setrlimit(RLIMIT_FSIZE, &small), 0);
  const ErrorCode code = code_from([&] {
    AtomicFile file(path);
    file.write(std::string(100000, 'x'));
    file.commit();
  });
  ::setrlimit(RLIMIT_FSIZE, &before);
  std::signal(SIGXFSZ, old_handler);
  EXPECT_EQ(code, ErrorCode::failure);
  EXPECT_EQ(read_text_file(path), "old");
  EXPECT_EQ(entries(), 1u);
}

}  // namespace
}  // namespace mynah
