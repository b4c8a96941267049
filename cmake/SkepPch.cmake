# Precompiled headers: the standard library and the generated messages cost more than our own code in
# nearly every translation unit (a clean build takes half the time with them). Files still include what
# they use: the fuzz preset builds without (SKEP_PCH=OFF).
set(skep_pch_headers
  <algorithm> <array> <chrono> <cstdint> <cstring> <deque> <functional> <map> <memory> <optional>
  <ostream> <set> <string> <string_view> <utility> <vector> <skep/env.h> <skep/log.h> <skep/model.pb.h>)

# skep_define_pch(): makes the two, one for libraries and plugins (-fPIC), one for programs of tests
# (-fPIE, with GoogleTest). After skep_sdk is known.
function(skep_define_pch)
  if(NOT SKEP_PCH)
    return()
  endif()
  find_package(GTest REQUIRED)
  set(empty ${CMAKE_CURRENT_BINARY_DIR}/pch.cc)
  file(CONFIGURE OUTPUT ${empty} CONTENT "// carries a precompiled header\n")
  add_library(skep_pch OBJECT ${empty})
  target_precompile_headers(skep_pch PRIVATE ${skep_pch_headers})
  add_executable(skep_test_pch ${empty})
  target_link_libraries(skep_test_pch PRIVATE GTest::gmock GTest::gtest_main)
  target_precompile_headers(skep_test_pch PRIVATE ${skep_pch_headers} <gtest/gtest.h> <gmock/gmock.h>)
  foreach(pch skep_pch skep_test_pch)
    target_link_libraries(${pch} PRIVATE skep_sdk skep_warnings)
    target_compile_options(${pch} PRIVATE -fpch-preprocess)
    add_custom_target(${pch}_made
      DEPENDS ${CMAKE_CURRENT_BINARY_DIR}/CMakeFiles/${pch}.dir/cmake_pch.hxx.gch)
  endforeach()
endfunction()

# skep_use_pch(TARGET PCH): for a target of ours that links skep_sdk. Named relative to the build folder,
# where Ninja compiles, and with -fpch-preprocess, so that ccache finds in one clone what another built;
# target_precompile_headers(REUSE_FROM) would name it absolutely.
function(skep_use_pch target pch)
  if(SKEP_PCH)
    add_dependencies(${target} ${pch}_made)
    # g++ 12 forgets the pragmas in libstdc++ that keep these quiet when it reads a precompiled header.
    target_compile_options(${target} PRIVATE -fpch-preprocess -Winvalid-pch -Wno-array-bounds -Wno-restrict
      -Wno-stringop-overflow -Wno-stringop-overread "SHELL:-include sdk/CMakeFiles/${pch}.dir/cmake_pch.hxx")
  endif()
endfunction()
