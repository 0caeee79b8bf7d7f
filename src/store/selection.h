// Which files of a repository or package make up a model that mynah can open.
#pragma once
#include <cstdint>
#include <string>
#include <vector>

namespace mynah::store {

struct Candidate {
  std::string name;  // relative path
  uint64_t size_bytes = 0;
};

// Indices of the files to fetch, in the order given. With safetensors present no other weights are taken; a repository
// of .gguf files gives the quantisation asked for, else the first of a list of sensible ones, with all its shards;
// configuration and tokenizer files always come along. Empty when the repository holds no weights and no tokenizer.
// Throws not_found when the quantisation is not there, naming those that are.
std::vector<size_t> choose_files(const std::vector<Candidate>& files, const std::string& quantisation);

}  // namespace mynah::store
