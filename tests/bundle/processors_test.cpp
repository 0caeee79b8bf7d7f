// Pictures and sounds against PIL and the reference's processors (tools/golden/media.py): decoding and resizing to the level,
// features to 1e-4.
#include <gtest/gtest.h>

#include <cmath>
#include <filesystem>

#include "mynah/error.h"
#include "base/file.h"
#include "base/json.h"
#include "bundle/image_processor.h"
#include "bundle/sound_processor.h"
#include "formats/safetensors.h"
#include "media/resize.h"
#include "media/sound.h"

namespace mynah {
namespace {

const std::filesystem::path kMedia = std::filesystem::path(MYNAH_TEST_DATA) / "golden" / "media";

void expect_pixels(const media::Image& got, const Tensor& expected, int tolerance, const std::string& what) {
  ASSERT_EQ((Shape{got.height, got.width, 3}).str(), expected.shape().str()) << what;
  const auto* pixels = expected.data<uint8_t>();
  for (size_t i = 0; i < got.rgb.size(); ++i) ASSERT_NEAR(got.rgb[i], pixels[i], tolerance) << what << ", byte " << i;
}

void expect_close(const Tensor& got, const Tensor& expected, const std::string& what) {
  ASSERT_EQ(got.shape().str(), expected.shape().str()) << what;
  const auto a = got.to_vector(), b = expected.to_vector();
  for (size_t i = 0; i < a.size(); ++i) ASSERT_NEAR(a[i], b[i], 1e-4f * std::max(1.0f, std::abs(b[i]))) << what << ", element " << i;
}

TEST(Pictures, DecodeAsPilDoes) {
  const auto file = formats::SafetensorsFile::open(kMedia / "decoded.safetensors");
  ASSERT_GE(file->tensors().size(), 7u);
  // JPEG decoders may differ by a level where they round.
  for (const auto& info : file->tensors()) expect_pixels(media::read_image(kMedia / info.name), file->tensor(info.name), info.name.ends_with(".jpg") ? 1 : 0, info.name);
}

TEST(Pictures, ResizeAsPilDoes) {
  const auto file = formats::SafetensorsFile::open(kMedia / "resized.safetensors");
  const media::Image image = media::read_image(kMedia / "picture.png");
  const std::string filters[] = {"nearest", "lanczos", "bilinear", "bicubic", "box", "hamming"};
  for (const auto& info : file->tensors()) {
    const auto number = std::find(std::begin(filters), std::end(filters), info.name.substr(0, info.name.find('.'))) - std::begin(filters);
    ASSERT_LT(number, 6) << info.name;
    const Tensor expected = file->tensor(info.name);
    expect_pixels(media::resize(image, expected.size(1), expected.size(0), static_cast<media::Filter>(number)), expected, 0, info.name);
  }
}

TEST(Pictures, ProcessorsGiveTheReferencesPixels) {
  const auto file = formats::SafetensorsFile::open(kMedia / "processed.safetensors");
  const media::Image images[] = {media::read_image(kMedia / "picture.png"), media::read_image(kMedia / "grey.png")};
  const Json configs = read_json_file(kMedia / "processed.json");
  for (auto it = configs.begin(); it != configs.end(); ++it) {
    const std::string& name = it.key();
    const bool one = name == "plain" || name == "convnext_large" || name == "dpt";
    const auto out = bundle::ImageProcessor(it.value())(std::span(images, one ? 1 : 2));
    for (const auto& [key, tensor] : out) {
      Tensor got = tensor;
      if (name == "convnext_large") got = tensor.as_strided({1, 3, 24, 24}, {tensor.stride(0), tensor.stride(1), tensor.stride(2) * 16, 16});
      if (file->contains(name + "." + key)) expect_close(got, file->tensor(name + "." + key), name + "." + key);
      else ADD_FAILURE() << "the reference gives no " << key << " for " << name;
    }
  }
}

TEST(Pictures, PngIsReadBack) {
  const media::Image image = media::read_image(kMedia / "picture.png");
  const auto bytes = media::encode_png(image.width, image.height, 3, image.rgb.data());
  EXPECT_EQ(media::decode_image(bytes, "copy").rgb, image.rgb);
}

TEST(Pictures, DamagedOnesAreRefused) {
  for (const char* name : {"picture.png", "picture.jpg", "picture.webp"}) {
    const auto file = MappedFile::open(kMedia / name);
    for (const size_t keep : {size_t{3}, size_t{20}, size_t{60}}) EXPECT_THROW(media::decode_image(file->bytes().first(keep), name), Error) << name << " " << keep;
  }
  EXPECT_THROW(media::read_image(kMedia / "no such file.png"), Error);
  EXPECT_THROW(media::read_image(kMedia / "sound.wav"), Error);
}

TEST(Sounds, ChannelsAreMixed) {
  const auto file = formats::SafetensorsFile::open(kMedia / "sound.safetensors");
  const media::Sound sound = media::read_sound(kMedia / "sound.wav");
  EXPECT_EQ(sound.rate, 8000);
  expect_close(Tensor::from(std::span<const float>(sound.samples), {static_cast<int64_t>(sound.samples.size())}), file->tensor("mean"), "mean");
  const media::Sound louder = media::read_sound(kMedia / "sound.wav", media::Mix::power);
  for (size_t i = 0; i < sound.samples.size(); ++i) ASSERT_NEAR(louder.samples[i], sound.samples[i] * std::sqrt(2.0f), 1e-6f);
}

TEST(Sounds, ProcessorsGiveTheReferencesFeatures) {
  const auto file = formats::SafetensorsFile::open(kMedia / "sound.safetensors");
  const media::Sound whole = media::read_sound(kMedia / "sound.wav");
  const media::Sound sounds[] = {whole, {whole.rate, {whole.samples.begin(), whole.samples.begin() + 1000}}};
  const Json configs = read_json_file(kMedia / "sound.json");
  expect_close(bundle::SoundProcessor(configs.at("whisper"))(sounds).at("input_features"), file->tensor("whisper"), "whisper");
  expect_close(bundle::SoundProcessor(configs.at("plain"))(sounds).at("input_values"), file->tensor("plain"), "plain");
  const auto masked = bundle::SoundProcessor(configs.at("masked"))(sounds);
  expect_close(masked.at("input_values"), file->tensor("masked"), "masked");
  expect_close(masked.at("attention_mask"), file->tensor("mask"), "mask");
}

TEST(Sounds, WavIsReadBackAndResampled) {
  const media::Sound sound = media::read_sound(kMedia / "sound.wav");
  const media::Sound copy = media::decode_sound(media::encode_wav(sound), "copy");
  ASSERT_EQ(copy.samples.size(), sound.samples.size());
  for (size_t i = 0; i < copy.samples.size(); ++i) ASSERT_NEAR(copy.samples[i], sound.samples[i], 1.0f / 32000);
  const media::Sound twice = media::resample(sound, 16000);
  EXPECT_EQ(twice.rate, 16000);
  EXPECT_NEAR(static_cast<double>(twice.samples.size()), 4800, 2);
}

}  // namespace
}  // namespace mynah
