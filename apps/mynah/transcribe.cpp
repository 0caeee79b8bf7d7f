// mynah transcribe MODEL SOUND...: what is said in sounds of any length, on the screen as it is found, and as text or subtitle files.
#include <fmt/core.h>
#include <unistd.h>

#include <filesystem>

#include "base/file.h"
#include "base/require.h"
#include "cli.h"
#include "command.h"
#include "generate/config.h"
#include "generation_options.h"
#include "mynah/json.h"
#include "open_model.h"
#include "standard_input.h"
#include "tasks/transcription.h"

namespace mynah::app {
namespace {

namespace fs = std::filesystem;

struct TranscribeOptions {
  std::string model, format = "txt", folder, prompt;
  std::vector<std::string> sounds;
  Precision precision = Precision::automatic;
  bool words = false, json = false, everywhere = false;
  GenerationOptions generation;
};

std::vector<std::string> formats_of(const TranscribeOptions& o) {
  std::vector<std::string> out;
  if (o.format == "all") return {std::begin(tasks::kTranscriptFormats), std::end(tasks::kTranscriptFormats)};
  for (const std::string& name : cli::split(o.format, ',')) {
    if (std::find(std::begin(tasks::kTranscriptFormats), std::end(tasks::kTranscriptFormats), name) == std::end(tasks::kTranscriptFormats))
      fail(ErrorCode::usage, "--output-format: \"{}\" is not a format; there are txt, srt, vtt, tsv, json and all", name);
    out.push_back(name);
  }
  if (out.empty() || (out.size() > 1 && o.folder.empty())) fail(ErrorCode::usage, "--output-format: {} formats; several go with --output-dir", out.size());
  return out;
}

int run_transcribe(const TranscribeOptions& o) {
  const std::vector<std::string> formats = formats_of(o);
  for (const std::string& path : o.sounds)
    if (path != "-" && !fs::exists(path)) fail(ErrorCode::not_found, "{}: no such file", path);
  const Model model = open_model(o.model, o.precision);
  GenerationConfig config = tasks::transcription_defaults(model);
  o.generation.apply(&config);
  if (o.words) config.speech.return_token_timestamps = true;
  if (!o.folder.empty()) fs::create_directories(o.folder);
  // Segments are shown as they come where people look; what a program reads is whole.
  const bool screen = isatty(STDOUT_FILENO) != 0;
  const bool live_out = !o.json && o.folder.empty() && formats[0] == "txt";
  const bool live_note = !live_out && isatty(STDERR_FILENO) != 0;
  Json all = Json::array();
  for (const std::string& path : o.sounds) {
    if (o.sounds.size() > 1 && live_out) print_text(fmt::format("{}{}:\n", all.empty() ? "" : "\n", shown_file(path)));
    const auto t = tasks::transcribe(model, sound_of_file(path), config, o.prompt, [&](const tasks::TranscribedSegment& s) {
      const std::string line = tasks::segment_line(s);
      if (live_out) print_text(screen ? line : line.substr(line.find("] ") + 2));
      else if (live_note) fmt::print(stderr, "{}", line);
      return true;
    }, o.everywhere);
    if (t.segments.empty()) fmt::print(stderr, "(nobody speaks in {})\n", shown_file(path));
    all.push_back(tasks::transcript_json(t));
    for (const std::string& format : formats) {
      if (o.folder.empty()) {
        if (!live_out && !o.json) print_text(tasks::transcript_file(t, format));
        continue;
      }
      AtomicFile file(fs::path(o.folder) / (path == "-" ? fs::path("stdin") : fs::path(path).stem()).concat("." + format));
      file.write(tasks::transcript_file(t, format));
      file.commit();
    }
  }
  if (o.json) print_json(o.sounds.size() == 1 ? all[0] : all);
  return 0;
}

}  // namespace

void add_transcribe(cli::App& parent, std::function<int()>& action) {
  cli::App* c = parent.add_subcommand("transcribe", "Write down what is said in sounds, as text or subtitles");
  auto o = std::make_shared<TranscribeOptions>();
  c->add_option("model", o->model, "folder or name (whisper-base)")->required()->type_name("MODEL");
  c->add_option("sounds", o->sounds, "WAV, FLAC, Ogg or MP3 files, - for standard input")->required()->type_name("SOUND");
  c->add_option("--output-format", o->format, "txt, srt, vtt, tsv, json; with --output-dir several, or all (txt)")->type_name("FORMAT");
  c->add_option("--output-dir,-o", o->folder, "write files named after the sounds here, each whole or not at all")->type_name("DIR");
  c->add_flag("--word-timestamps", o->words, "say when each word is said; subtitles show words one at a time");
  c->add_option("--initial-prompt", o->prompt, "text that came before: names, terms, style")->type_name("TEXT");
  c->add_flag("--everywhere", o->everywhere, "write down what the model hears where no voice is found, too (whispering, say)");
  add_dtype_option(*c, o->precision);
  c->add_flag("--json", o->json, "print {\"language\", \"duration\", \"text\", \"segments\"}");
  o->generation.add_speech(*c);
  o->generation.add(*c);
  c->callback([o, &action] { action = [o] { return run_transcribe(*o); }; });
}

}  // namespace mynah::app
