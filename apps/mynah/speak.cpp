// mynah speak MODEL TEXT [-o FILE]: a text as speech, into a file, to stdout or through the loudspeaker.
#include <fmt/core.h>
#include <unistd.h>

#include <chrono>
#include <cstdio>

#include "base/process.h"
#include "base/require.h"
#include "bundle/speech.h"
#include "cli.h"
#include "command.h"
#include "media/sound.h"
#include "mynah/json.h"
#include "open_model.h"
#include "sound_programs.h"
#include "standard_input.h"

namespace mynah::app {
namespace {

using Clock = std::chrono::steady_clock;

struct SpeakOptions {
  std::vector<std::string> words;  // MODEL, then the text
  std::string output, format, speaker;
  nn::VoiceSettings settings;
  double speed = 1;
  bool json = false, whole = false;
};

// Takes the sound sentence by sentence. Returns false when nobody listens any more.
class Output {
 public:
  virtual ~Output() = default;
  virtual bool take(std::span<const float> samples) = 0;
  virtual void finish() {}
};

// A file, written when all of it is there.
class ToFile : public Output {
 public:
  ToFile(std::string path, media::SoundFormat format, int64_t rate)
      : path_(std::move(path)), format_(format), sound_{rate, {}} {}
  bool take(std::span<const float> samples) override {
    sound_.samples.insert(sound_.samples.end(), samples.begin(), samples.end());
    return true;
  }
  void finish() override {
    if (path_ != "-") return media::write_sound(path_, sound_, format_);
    const auto bytes = media::encode_sound(sound_, format_);
    print_text(std::string(reinterpret_cast<const char*>(bytes.data()), bytes.size()));
  }

 private:
  std::string path_;
  media::SoundFormat format_;
  media::Sound sound_;
};

// WAV or bare samples on stdout as they come.
class ToStdout : public Output {
 public:
  ToStdout(bool wav, int64_t rate) : rate_(rate) {
    if (wav) put(media::endless_wav_header(rate));
  }
  bool take(std::span<const float> samples) override {
    put(media::encode_sound({rate_, {samples.begin(), samples.end()}}, media::SoundFormat::pcm));
    return true;
  }

 private:
  static void put(const std::vector<std::byte>& bytes) {
    print_text(std::string(reinterpret_cast<const char*>(bytes.data()), bytes.size()));
  }
  int64_t rate_;
};

class ToPlayer : public Output {
 public:
  explicit ToPlayer(int64_t rate) : rate_(rate), player_(player_command("speak")) { player_.write(media::endless_wav_header(rate)); }
  bool take(std::span<const float> samples) override {
    return player_.write(media::encode_sound({rate_, {samples.begin(), samples.end()}}, media::SoundFormat::pcm));
  }
  void finish() override {
    if (const int status = player_.finish(); status != 0)
      fail(ErrorCode::failure,
           "speak: the player ended with status {}; is there a loudspeaker? -o FILE.wav keeps the sound", status);
  }

 private:
  int64_t rate_;
  ProgramInput player_;
};

std::unique_ptr<Output> output_for(const SpeakOptions& o, int64_t rate) {
  if (o.output.empty()) return std::make_unique<ToPlayer>(rate);
  const media::SoundFormat format = !o.format.empty() ? media::sound_format(o.format)
                                    : o.output == "-" ? media::SoundFormat::wav
                                                      : media::sound_format_of(o.output);
  const bool streams = format == media::SoundFormat::wav || format == media::SoundFormat::pcm;
  if (o.output == "-" && streams) return std::make_unique<ToStdout>(format == media::SoundFormat::wav, rate);
  return std::make_unique<ToFile>(o.output, format, rate);
}

std::string text_of(const SpeakOptions& o) {
  if (o.words.size() > 1) return text_of_words({o.words.begin() + 1, o.words.end()});
  if (isatty(STDIN_FILENO)) fail(ErrorCode::usage, "speak: no text; mynah speak MODEL \"TEXT\", or pipe it in");
  return standard_input_text();
}

double seconds_since(Clock::time_point begin) { return std::chrono::duration<double>(Clock::now() - begin).count(); }

int speak(SpeakOptions o) {
  if (!o.output.empty() && o.output != "-") media::sound_format_of(o.output);  // said before anything is computed
  if (o.json && o.output == "-")
    fail(ErrorCode::usage, "speak: --json and the sound cannot both go to stdout; name a file");
  if (o.output == "-" && isatty(STDOUT_FILENO))
    fail(ErrorCode::usage, "speak: sound does not go to a terminal; name a file or a pipe");
  const std::string text = text_of(o);
  const Model model = open_model(o.words[0], Precision::automatic);
  const bundle::Speech speech(model.bundle());
  if (!o.speaker.empty()) o.settings.speaker = speech.speaker(o.speaker);
  const double rate = static_cast<double>(speech.sampling_rate());
  const auto output = output_for(o, speech.sampling_rate());
  const auto begin = Clock::now();
  double first = 0;
  size_t samples = 0;
  speech.say(text, o.settings, !o.whole, [&](std::span<const float> sound) {
    if (samples == 0) first = seconds_since(begin);
    samples += sound.size();
    return output->take(sound);
  });
  const double spent = seconds_since(begin), length = static_cast<double>(samples) / rate;
  output->finish();
  if (o.json) {
    print_json({{"output", o.output.empty() ? Json() : Json(o.output)},
                {"sampling_rate", speech.sampling_rate()},
                {"samples", samples},
                {"seconds", length},
                {"first_sound_seconds", first},
                {"computed_seconds", spent}});
  } else {
    fmt::print(stderr,
               "{}{:.1f} s of speech in {:.2f} s ({:.1f} times as fast as it sounds), first sound after {:.2f} s\n",
               o.output.empty() || o.output == "-" ? "" : o.output + ": ", length, spent,
               length / std::max(spent, 1e-9), first);
  }
  return 0;
}

}  // namespace

void add_speak(cli::App& parent, std::function<int()>& action) {
  cli::App* c = parent.add_subcommand("speak", "Speak a text: into a file, to stdout or aloud");
  auto o = std::make_shared<SpeakOptions>();
  c->add_option("words", o->words,
                "MODEL (a voice: piper-joe, a VITS folder, VOICE.onnx), then the text; without one, or for -, standard input")
      ->required()
      ->type_name("MODEL TEXT");
  c->add_option("-o,--output", o->output,
                "the file to write: .wav, .flac, .opus or .mp3; - is stdout; without it the sound is played")
      ->type_name("FILE");
  c->add_option("--format", o->format, "wav, flac, opus, mp3 or pcm, where the file's name does not say")
      ->type_name("NAME");
  c->add_option("--speaker", o->speaker, "which voice of several: a number or a name")->type_name("WHO");
  cli::Option* speed = c->add_option("--speed", o->speed, "1.5 speaks faster by a half")->type_name("X")->check(cli::Range(0.1, 10.0));
  c->add_option("--noise-scale", o->settings.noise_scale, "how much the voice varies")
      ->type_name("X")
      ->check(cli::Range(0.0, 10.0));
  c->add_option("--noise-scale-duration", o->settings.noise_scale_duration, "how much the rhythm varies")
      ->type_name("X")
      ->check(cli::Range(0.0, 10.0));
  c->add_option("--seed", o->settings.seed, "another one varies them in another way")->type_name("N");
  c->add_flag("--whole", o->whole, "speak the text in one go instead of sentence by sentence");
  c->add_flag("--json", o->json, "print what was done as JSON");
  c->callback([o, speed, &action] {
    action = [o, given = speed->count() > 0] {
      if (given) o->settings.speaking_rate = static_cast<float>(o->speed);
      return speak(*o);
    };
  });
}

}  // namespace mynah::app
