// Classifies a text: classify MODEL TEXT.
#include <cstdio>
#include <exception>

#include "mynah/pipeline.h"

int main(int argc, char** argv) {
  if (argc != 3) {
    std::fprintf(stderr, "usage: classify MODEL TEXT (MODEL is a folder in Hugging Face layout or a stored name)\n");
    return 2;
  }
  try {
    const mynah::Pipeline classify = mynah::pipeline("text-classification", argv[1]);
    std::puts(classify(argv[2]).dump().c_str());
    return 0;
  } catch (const std::exception& error) {
    std::fprintf(stderr, "classify: %s\n", error.what());
    return 1;
  }
}
