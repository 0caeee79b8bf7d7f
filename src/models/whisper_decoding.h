// How Whisper writes down sound of any length: windows one after another, the prompt's language and task, timestamps, another try with
// more randomness where an answer looks wrong. As generation_whisper.py of transformers 4.57; paper: arXiv:2212.04356, section 3.8.
#pragma once
#include <memory>

#include "nn/decoding.h"

namespace mynah {

class Whisper;

std::unique_ptr<nn::Decoding> make_whisper_decoding(const Whisper& model);

}  // namespace mynah
