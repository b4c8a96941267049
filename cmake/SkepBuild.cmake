# skep_add_library(), skep_add_program(), skep_add_plugin(), skep_add_test(): how targets are made.

set(SKEP_CMAKE_DIR ${CMAKE_CURRENT_LIST_DIR})
set(SKEP_PLUGIN_DIR ${CMAKE_BINARY_DIR}/plugins)  # where every .so lands; agentd --plugin-dir
set(SKEP_BIN_DIR ${CMAKE_BINARY_DIR}/bin)

# skep_add_library(NAME SOURCES a.cc ... LINK lib ...): a static library of our own code.
function(skep_add_library name)
  cmake_parse_arguments(ARG "" "" "SOURCES;LINK" ${ARGN})
  add_library(${name} STATIC ${ARG_SOURCES})
  target_include_directories(${name} PUBLIC ${PROJECT_SOURCE_DIR})
  target_link_libraries(${name} PUBLIC ${ARG_LINK} PRIVATE skep_warnings)
  skep_use_pch(${name} skep_pch)
  skep_use_unity(${name})
endfunction()

# skep_add_program(NAME SOURCES ... LINK ...): lands in build/bin. Never linked -rdynamic: a plugin
# must not find our symbols.
function(skep_add_program name)
  cmake_parse_arguments(ARG "" "" "SOURCES;LINK" ${ARGN})
  add_executable(${name} ${ARG_SOURCES})
  target_include_directories(${name} PRIVATE ${PROJECT_SOURCE_DIR})
  target_link_libraries(${name} PRIVATE ${ARG_LINK} skep_warnings)
  set_target_properties(${name} PROPERTIES ENABLE_EXPORTS OFF RUNTIME_OUTPUT_DIRECTORY ${SKEP_BIN_DIR})
  skep_sanitizer_options(${name})
endfunction()

# skep_add_test(NAME SOURCES ... LINK ... LABELS unit ... [ROOT] [TIMEOUT s] [ARGS ...]): one
# GoogleTest program, one CTest entry. ROOT: it needs root, namespaces or cgroups.
function(skep_add_test name)
  cmake_parse_arguments(ARG "ROOT" "TIMEOUT" "SOURCES;LINK;LABELS;ARGS" ${ARGN})
  find_package(GTest REQUIRED)
  add_executable(${name} ${ARG_SOURCES})
  target_include_directories(${name} PRIVATE ${PROJECT_SOURCE_DIR})
  target_link_libraries(${name} PRIVATE ${ARG_LINK} skep_warnings GTest::gmock GTest::gtest GTest::gtest_main)
  target_compile_definitions(${name} PRIVATE
    SKEP_SOURCE_DIR="${PROJECT_SOURCE_DIR}" SKEP_BUILD_DIR="${CMAKE_BINARY_DIR}")
  set_target_properties(${name} PROPERTIES RUNTIME_OUTPUT_DIRECTORY ${CMAKE_BINARY_DIR}/test-bin)
  skep_sanitizer_options(${name})
  skep_use_pch(${name} skep_test_pch)
  skep_use_unity(${name})
  add_test(NAME ${name} COMMAND ${name} ${ARG_ARGS})
  if(ARG_ROOT)
    list(APPEND ARG_LABELS root)
  endif()
  if(NOT ARG_TIMEOUT)
    set(ARG_TIMEOUT 120)
  endif()
  set_tests_properties(${name} PROPERTIES LABELS "${ARG_LABELS}" TIMEOUT ${ARG_TIMEOUT})
  skep_sanitizer_time(${name})
endfunction()

include(${SKEP_CMAKE_DIR}/SkepPch.cmake)
include(${SKEP_CMAKE_DIR}/SkepUnity.cmake)
include(${SKEP_CMAKE_DIR}/SkepPlugin.cmake)
