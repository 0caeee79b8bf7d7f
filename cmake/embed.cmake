# cmake -DINPUT=file -DOUTPUT=file.cpp -DNAME=name -P embed.cmake: a C++ file that defines `std::string_view name()`, in the
# namespace mynah::serve, as the bytes of INPUT.
cmake_minimum_required(VERSION 3.25)
file(READ ${INPUT} bytes HEX)
string(REGEX REPLACE "([0-9a-f][0-9a-f])" "0x\\1," bytes "${bytes}")
string(REGEX REPLACE "((0x[0-9a-f][0-9a-f],)(0x[0-9a-f][0-9a-f],)(0x[0-9a-f][0-9a-f],)(0x[0-9a-f][0-9a-f],))" "\\1\n" bytes "${bytes}")
file(WRITE ${OUTPUT} "// Written by CMake from ${INPUT}.
#include <string_view>
namespace mynah::serve {
static constexpr unsigned char kBytes[] = {
${bytes}};
std::string_view ${NAME}() { return {reinterpret_cast<const char*>(kBytes), sizeof kBytes}; }
}  // namespace mynah::serve
")
