// An answer cut into sentences while it is being written.
#pragma once
#include <string>
#include <string_view>
#include <vector>

namespace mynah::assistant {

class SentenceCutter {
 public:
  // The sentences that are complete after this piece: something follows them. Marks of Markdown are left out, an item of a
  // list is a sentence.
  std::vector<std::string> push(std::string_view piece);
  // What is left.
  std::vector<std::string> finish();

 private:
  std::vector<std::string> cut(bool all);
  std::string held_;
};

}  // namespace mynah::assistant
