// The page that GET / shows to browsers: src/serve/page/index.html, kept in the program.
#pragma once
#include <string>
#include <string_view>

#include "serve/http.h"

namespace mynah::serve {

std::string_view page_html();  // the file's bytes; cmake/embed.cmake writes it

// Allows the page's own script and style by their digests, requests to this server and pictures in data: addresses.
std::string page_policy(std::string_view html);

Answer page_answer();

}  // namespace mynah::serve
