# How folders become targets.

set(MYNAH_GENERATED ${CMAKE_BINARY_DIR}/generated)

# mynah_module(name LINK targets... [REGISTER Type prefix header])
#   All src/name/*.cpp become the static library mynah_<name>. With REGISTER, every `extern const Type prefix<x>` that a
#   .cpp of the folder defines is collected into a table `std::span<const Type* const> <name>_entries()`: an op or a model
#   is registered by existing.
function(mynah_module name)
  cmake_parse_arguments(ARG "" "" "LINK;REGISTER" ${ARGN})
  file(GLOB sources CONFIGURE_DEPENDS ${CMAKE_SOURCE_DIR}/src/${name}/*.cpp)
  if(ARG_REGISTER)
    list(GET ARG_REGISTER 0 type)
    list(GET ARG_REGISTER 1 prefix)
    list(GET ARG_REGISTER 2 header)
    set(declarations "")
    set(pointers "")
    foreach(source ${sources})
      set_property(DIRECTORY ${CMAKE_SOURCE_DIR} APPEND PROPERTY CMAKE_CONFIGURE_DEPENDS ${source})
      file(STRINGS ${source} lines REGEX "^extern const ${type} ${prefix}[a-z0-9_]+")
      foreach(line ${lines})
        string(REGEX REPLACE "^extern const ${type} (${prefix}[a-z0-9_]+).*" "\\1" symbol "${line}")
        string(APPEND declarations "extern const ${type} ${symbol};\n")
        string(APPEND pointers "      &${symbol},\n")
      endforeach()
    endforeach()
    set(table ${MYNAH_GENERATED}/${name}_entries.cpp)
    file(CONFIGURE OUTPUT ${table} CONTENT
"// Written by CMake: every ${type} that src/${name} defines.
#include \"${header}\"
namespace mynah {
${declarations}
std::span<const ${type}* const> ${name}_entries() {
  static const ${type}* const all[] = {
${pointers}  };
  return all;
}
}  // namespace mynah
")
    list(APPEND sources ${table})
  endif()
  add_library(mynah_${name} STATIC ${sources})
  target_include_directories(mynah_${name} PUBLIC $<BUILD_INTERFACE:${CMAKE_SOURCE_DIR}/include> $<BUILD_INTERFACE:${CMAKE_SOURCE_DIR}/src>
                             $<INSTALL_INTERFACE:include>)
  target_link_libraries(mynah_${name} PUBLIC ${ARG_LINK})
  add_dependencies(mynah_${name} layers_check)
endfunction()

# mynah_glue(targets...): code that calls the hot loops and has none of its own. Optimising it less saves a fifth of its compile time.
function(mynah_glue)
  foreach(target ${ARGN})
    target_compile_options(${target} PRIVATE $<$<CONFIG:Release>:-O1>)
  endforeach()
endfunction()

# mynah_together(targets...): their files are compiled sixteen at a time, which halves the compile time of a fresh build; so names
# in unnamed namespaces must differ within a folder. Off (MYNAH_TOGETHER) where single files are worked on, as in the preset dev.
function(mynah_together)
  foreach(target ${ARGN})
    set_target_properties(${target} PROPERTIES UNITY_BUILD ${MYNAH_TOGETHER} UNITY_BUILD_BATCH_SIZE 16)
    if(MYNAH_TOGETHER)
      target_compile_options(${target} PRIVATE -Wno-subobject-linkage)  # the file that is included is the only one to include it
    endif()
  endforeach()
endfunction()

# mynah_kernels(): every src/kernels/<family>.cpp is compiled once per instruction set, in a namespace of its own
# (MYNAH_ISA), and defines `extern const <Family>Table <family>_table`. The dispatch function `<family>()` is generated.
# src/kernels/isa.cpp (CPU detection) and *_layout.cpp (no vector code) are compiled once, for the baseline.
function(mynah_kernels)
  set(generic_flags "")
  set(avx2_flags -mavx2 -mfma -mf16c -mbmi2)
  set(avx512_flags ${avx2_flags} -mavx512f -mavx512bw -mavx512dq -mavx512vl -mavx512cd -mavx512vnni -mavx512vbmi -mgfni -mprefer-vector-width=512)
  set(bf16_flags ${avx512_flags} -mavx512bf16)
  set(amx_flags ${bf16_flags} -mamx-tile -mamx-int8 -mamx-bf16)
  set(amx_families attention gemm int8 quant peak)  # those that use tiles; the others are bf16's
  file(GLOB families CONFIGURE_DEPENDS ${CMAKE_SOURCE_DIR}/src/kernels/*.cpp)
  set(baseline_sources "")
  set(isa_objects "")
  set(isa_targets "")
  set(names "")
  foreach(source ${families})
    get_filename_component(family ${source} NAME_WE)
    if(family STREQUAL "isa" OR family MATCHES "_layout$")
      list(APPEND baseline_sources ${source})
    else()
      list(APPEND names ${family})
      string(SUBSTRING ${family} 0 1 first)
      string(TOUPPER ${first} first)
      string(SUBSTRING ${family} 1 -1 rest)
      set(Family ${first}${rest})
      set(FAMILY ${family})
      set(AMX bf16)
      if(family IN_LIST amx_families)
        set(AMX amx)
      endif()
      configure_file(${CMAKE_SOURCE_DIR}/cmake/kernel_dispatch.cpp.in ${MYNAH_GENERATED}/dispatch_${family}.cpp @ONLY)
      list(APPEND baseline_sources ${MYNAH_GENERATED}/dispatch_${family}.cpp)
    endif()
  endforeach()
  foreach(isa generic avx2 avx512 bf16 amx)
    set(sources "")
    set(families ${names})
    if(isa STREQUAL "amx")
      set(families ${amx_families})
    endif()
    foreach(family ${families})
      list(APPEND sources ${CMAKE_SOURCE_DIR}/src/kernels/${family}.cpp)
    endforeach()
    add_library(mynah_kernels_${isa} OBJECT ${sources})
    target_include_directories(mynah_kernels_${isa} PRIVATE ${CMAKE_SOURCE_DIR}/src)
    target_compile_definitions(mynah_kernels_${isa} PRIVATE MYNAH_ISA=${isa})
    # -ffp-contract=off: a fused multiply-add is written where it is meant, so that every instruction set rounds alike.
    target_compile_options(mynah_kernels_${isa} PRIVATE ${${isa}_flags} -O3 -ffp-contract=off -fno-math-errno -fno-trapping-math -fno-exceptions -fno-rtti)
    if(isa STREQUAL "avx512" OR isa STREQUAL "bf16" OR isa STREQUAL "amx")
      # GCC 12's own AVX-512 headers set off the uninitialized warnings.
      target_compile_options(mynah_kernels_${isa} PRIVATE -mtune=icelake-server -Wno-uninitialized -Wno-maybe-uninitialized)
    endif()
    if(MYNAH_SANITIZE)  # every vector operation is a check then: optimising them costs minutes a file
      target_compile_options(mynah_kernels_${isa} PRIVATE -O1 -fno-sanitize=undefined)
    endif()
    list(APPEND isa_objects $<TARGET_OBJECTS:mynah_kernels_${isa}>)
    list(APPEND isa_targets mynah_kernels_${isa})
  endforeach()
  add_library(mynah_kernels STATIC ${baseline_sources} ${isa_objects})
  target_include_directories(mynah_kernels PUBLIC $<BUILD_INTERFACE:${CMAKE_SOURCE_DIR}/include> $<BUILD_INTERFACE:${CMAKE_SOURCE_DIR}/src>)
  add_dependencies(mynah_kernels layers_check)
  # A weak (inline or template) symbol in an object of a higher instruction set could be the copy the linker keeps for all.
  if(NOT MYNAH_SANITIZE AND NOT MYNAH_COVERAGE)
    add_custom_command(TARGET mynah_kernels POST_BUILD
      COMMAND ${CMAKE_COMMAND} -DNM=${CMAKE_NM} "-DOBJECTS=${isa_objects}" -P ${CMAKE_SOURCE_DIR}/cmake/check_weak_symbols.cmake
      VERBATIM COMMAND_EXPAND_LISTS)
  endif()
endfunction()

# mynah_embed(name function file): the file's bytes become a part of mynah_<name>, which a function returns.
function(mynah_embed name function file)
  set(output ${MYNAH_GENERATED}/${function}.cpp)
  add_custom_command(OUTPUT ${output}
    COMMAND ${CMAKE_COMMAND} -DINPUT=${CMAKE_SOURCE_DIR}/${file} -DOUTPUT=${output} -DNAME=${function} -P ${CMAKE_SOURCE_DIR}/cmake/embed.cmake
    DEPENDS ${CMAKE_SOURCE_DIR}/${file} ${CMAKE_SOURCE_DIR}/cmake/embed.cmake
    COMMENT "Embedding ${file}" VERBATIM)
  target_sources(mynah_${name} PRIVATE ${output})
endfunction()

# The include rules of layers.txt, checked before anything compiles and only when a source changed.
function(mynah_layers_check)
  file(GLOB_RECURSE checked CONFIGURE_DEPENDS ${CMAKE_SOURCE_DIR}/src/*.cpp ${CMAKE_SOURCE_DIR}/src/*.h
       ${CMAKE_SOURCE_DIR}/apps/*.cpp ${CMAKE_SOURCE_DIR}/apps/*.h ${CMAKE_SOURCE_DIR}/include/*.h ${CMAKE_SOURCE_DIR}/examples/*.cpp)
  set(stamp ${CMAKE_BINARY_DIR}/layers.stamp)
  add_custom_command(OUTPUT ${stamp}
    COMMAND ${CMAKE_COMMAND} -DROOT=${CMAKE_SOURCE_DIR} -DSTAMP=${stamp} -P ${CMAKE_SOURCE_DIR}/cmake/check_layers.cmake
    DEPENDS ${checked} ${CMAKE_SOURCE_DIR}/layers.txt ${CMAKE_SOURCE_DIR}/cmake/check_layers.cmake
    COMMENT "Checking includes against layers.txt" VERBATIM)
  add_custom_target(layers_check DEPENDS ${stamp})
endfunction()
