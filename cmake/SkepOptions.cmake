# Compiler, warnings, linker, sanitizers: everything that holds for every target.
set(CMAKE_CXX_STANDARD 20)
set(CMAKE_CXX_STANDARD_REQUIRED ON)
set(CMAKE_CXX_EXTENSIONS OFF)
set(CMAKE_C_STANDARD 11)
set(CMAKE_POSITION_INDEPENDENT_CODE ON)
set(CMAKE_CXX_VISIBILITY_PRESET hidden)
set(CMAKE_C_VISIBILITY_PRESET hidden)
set(CMAKE_VISIBILITY_INLINES_HIDDEN ON)
set(CMAKE_EXPORT_COMPILE_COMMANDS ON)
if(NOT CMAKE_BUILD_TYPE)
  set(CMAKE_BUILD_TYPE Dev CACHE STRING "Dev, Release or Debug" FORCE)
endif()
# Dev compiles fast and still has line numbers in its stack traces.
set(CMAKE_CXX_FLAGS_DEV "-O1 -g1" CACHE STRING "" FORCE)
set(CMAKE_C_FLAGS_DEV "-O1 -g1" CACHE STRING "" FORCE)
set(CMAKE_CXX_FLAGS_RELEASE "-O2 -g1 -D_FORTIFY_SOURCE=3 -fstack-protector-strong" CACHE STRING "" FORCE)

option(SKEP_WARNINGS_AS_ERRORS "Warnings are errors (not where gcc's guesses about flow see ghosts: -O2, sanitizers)" ON)
set(SKEP_SANITIZE "" CACHE STRING "address,undefined or thread")
option(SKEP_PCH "Precompile the headers that nearly every file includes (see SkepPch.cmake)" ON)
if(NOT CMAKE_GENERATOR MATCHES Ninja)
  set(SKEP_PCH OFF)
endif()
option(SKEP_UNITY "Compile several sources at once (see SkepUnity.cmake)" OFF)
option(SKEP_FUZZ "Build the libFuzzer targets (clang only)" OFF)

find_program(SKEP_CCACHE ccache)
if(SKEP_CCACHE AND NOT CMAKE_CXX_COMPILER_LAUNCHER)
  # The sloppiness is what ccache asks for before it caches with precompiled headers.
  set(CMAKE_CXX_COMPILER_LAUNCHER env CCACHE_SLOPPINESS=pch_defines,time_macros ${SKEP_CCACHE})
  set(CMAKE_C_COMPILER_LAUNCHER ${SKEP_CCACHE})
endif()
find_program(SKEP_MOLD mold)
if(SKEP_MOLD)
  add_link_options(-fuse-ld=mold)
endif()
add_link_options(-Wl,-z,relro,-z,now)
if(SKEP_SANITIZE)
  # Without the checks of UBSan that double the compile time: ASan sees what they see when it matters.
  add_compile_options(-fsanitize=${SKEP_SANITIZE} -fno-omit-frame-pointer -fno-sanitize-recover=undefined
    -fno-sanitize=null,object-size,vptr)
  add_link_options(-fsanitize=${SKEP_SANITIZE})
  if(SKEP_SANITIZE STREQUAL "thread")
    # gcc says that TSan does not model the fences of Asio and libstdc++; both annotate or avoid them.
    add_compile_options(-Wno-tsan)
  endif()
endif()
if(SKEP_FUZZ)
  add_compile_options(-fsanitize=fuzzer-no-link,address,undefined)
  add_link_options(-fsanitize=address,undefined)
endif()
if(NOT SKEP_SANITIZE AND NOT SKEP_FUZZ)
  # The messages and the SDK are compiled once; a program or plugin keeps of them what it uses.
  add_compile_options(-ffunction-sections -fdata-sections)
  add_link_options(-Wl,--gc-sections)
endif()
add_compile_definitions(_GLIBCXX_ASSERTIONS)

# Ours only; generated code is compiled without these.
add_library(skep_warnings INTERFACE)
target_compile_options(skep_warnings INTERFACE
  -Wall -Wextra -Wpedantic -Wshadow $<$<COMPILE_LANGUAGE:CXX>:-Wconversion> -Wswitch-enum
  $<$<BOOL:${SKEP_WARNINGS_AS_ERRORS}>:-Werror>)

find_package(Protobuf 3.21 REQUIRED)
find_package(PkgConfig REQUIRED)
find_package(Threads REQUIRED)
find_package(Python3 REQUIRED COMPONENTS Interpreter)

# skep_sanitizer_time(TEST): time is generous, sanitizers slow everything down.
function(skep_sanitizer_time test)
  if(SKEP_SANITIZE)
    get_test_property(${test} TIMEOUT timeout)
    math(EXPR timeout "${timeout} * 3")
    set_tests_properties(${test} PROPERTIES TIMEOUT ${timeout})
  endif()
endfunction()

# skep_sanitizer_options(PROGRAM): what the sanitizers' runtimes are told comes with the program.
if(SKEP_SANITIZE)
  add_library(skep_sanitizer_options OBJECT ${PROJECT_SOURCE_DIR}/tests/sanitizer_options.cc)
endif()
function(skep_sanitizer_options program)
  if(SKEP_SANITIZE)
    target_link_libraries(${program} PRIVATE skep_sanitizer_options)
  endif()
endfunction()
