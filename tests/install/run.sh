#!/bin/bash
# run.sh BUILD SOURCE: installs BUILD, builds examples/hello.cpp against the installed package, runs it on a small model.
set -eu
build=$1 source=$2
work=$(mktemp -d)
trap 'rm -r "$work"' EXIT
cmake --install "$build" --prefix "$work/prefix" >"$work/log" 2>&1 || { cat "$work/log"; exit 1; }
"$work/prefix/bin/mynah" --version
# The installed program finds the model that was installed with it.
export MYNAH_OFFLINE=1 MYNAH_HOME="$work/home"
"$work/prefix/bin/mynah" show tiny | grep "^path  *$(readlink -f "$work/prefix")/share/mynah/models/tiny.gguf$" ||
  { echo "tiny is not taken from the installation"; "$work/prefix/bin/mynah" show tiny; exit 1; }
cmake -G Ninja -S "$source/tests/install" -B "$work/user" -DCMAKE_PREFIX_PATH="$work/prefix" -DEXAMPLES="$source/examples" >"$work/log" 2>&1 &&
  cmake --build "$work/user" >>"$work/log" 2>&1 || { cat "$work/log"; exit 1; }
"$work/user/user" "$source/tests/golden/models/gguf_llama_f32/model.gguf" hello
