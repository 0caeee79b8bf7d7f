// Which instruction set the kernels run with: the best the processor has, or the one MYNAH_ISA= names.
#pragma once

namespace mynah::kernels {

// avx512: with VNNI and VBMI; bf16: avx512 and AVX512-BF16; amx: bf16 and the tiles of AMX for bytes and bf16. Each has all of those before it.
enum class Isa { generic, avx2, avx512, bf16, amx };
constexpr Isa kIsas[] = {Isa::generic, Isa::avx2, Isa::avx512, Isa::bf16, Isa::amx};

Isa active_isa();
// Chooses an instruction set for the process (tests, MYNAH_ISA). Returns false, and changes nothing, if the processor lacks it.
bool set_isa(Isa isa);
bool isa_supported(Isa isa);
const char* isa_name(Isa isa);
// Multiplies pairs of bf16 in one instruction.
inline bool has_bf16_pairs(Isa isa) { return isa >= Isa::bf16; }
// Parses "generic", "avx2", "avx512", "bf16", "amx"; returns false for anything else.
bool parse_isa(const char* text, Isa* isa);

}  // namespace mynah::kernels
