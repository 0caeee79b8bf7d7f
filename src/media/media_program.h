// Sounds, pictures and videos of formats that are not read here, through mynah-media: FFmpeg's libraries in a process of their own,
// without files, network or much memory. It is built where those libraries are; it lies beside the program or in PATH.
#pragma once
#include <cstddef>
#include <filesystem>
#include <functional>
#include <span>
#include <string>

#include "media/image.h"
#include "media/sound.h"

namespace mynah::media {

bool has_media_program();
// Behind a complaint about an unknown format: how to get the program; empty where it is.
std::string media_program_hint();

// Throw failure with what the program says about the file, and for files beyond its limits.
Sound program_sound(const std::filesystem::path& path, Mix mix);
Sound program_sound(std::span<const std::byte> bytes, const std::string& where, Mix mix);
Image program_picture(std::span<const std::byte> bytes, const std::string& where);
// Frames in order, `rate` of them a second (0: all), until `take` returns false or there are none.
void program_frames(const std::filesystem::path& path, double rate, const std::function<bool(double seconds, Image&&)>& take);

}  // namespace mynah::media
