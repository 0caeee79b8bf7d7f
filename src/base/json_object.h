// The members of a JSON object: in the order they came, and found by hash once they are many (a vocabulary has 100,000).
#pragma once
#include "mynah/json.h"

namespace mynah {

class Json::Object {
 public:
  std::vector<Member>& members() { return members_; }
  Member* find(std::string_view key);
  Json& add(std::string_view key);  // there must be none of that key
  void erase(size_t at);

 private:
  static constexpr size_t kIndexed = 16;  // fewer members are looked through
  static constexpr uint32_t kFree = UINT32_MAX;
  size_t slot_of(std::string_view key) const;  // where it is or would be
  void index();

  std::vector<Member> members_;
  std::vector<uint32_t> places_;  // open addressing, at most half full; empty below kIndexed members
};

}  // namespace mynah
