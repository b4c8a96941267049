# skep_add_plugin() and skep_add_conformance_test(), for the tree and for authors outside it.
if(NOT SKEP_CMAKE_DIR)
  set(SKEP_CMAKE_DIR ${CMAKE_CURRENT_LIST_DIR})
endif()
if(NOT SKEP_PLUGIN_DIR)
  set(SKEP_PLUGIN_DIR ${CMAKE_BINARY_DIR}/plugins)
endif()

# skep_add_plugin(NAME MANIFEST plugin.toml SOURCES ... LINK ...): a loadable plugin that exports
# exactly skep_plugin_entry_v1, with its manifest in the ELF section .skep_manifest.
function(skep_add_plugin name)
  cmake_parse_arguments(ARG "" "MANIFEST" "SOURCES;LINK" ${ARGN})
  get_filename_component(manifest ${ARG_MANIFEST} ABSOLUTE BASE_DIR ${CMAKE_CURRENT_SOURCE_DIR})
  set(embedded ${CMAKE_CURRENT_BINARY_DIR}/${name}_manifest.cc)
  add_custom_command(OUTPUT ${embedded}
    COMMAND ${Python3_EXECUTABLE} ${SKEP_CMAKE_DIR}/embed_manifest.py ${manifest} ${embedded}
    DEPENDS ${manifest} ${SKEP_CMAKE_DIR}/embed_manifest.py VERBATIM)
  add_library(${name} MODULE ${ARG_SOURCES} ${embedded})
  target_link_libraries(${name} PRIVATE ${ARG_LINK} skep_sdk)
  if(TARGET skep_warnings)
    target_link_libraries(${name} PRIVATE skep_warnings)
    target_include_directories(${name} PRIVATE ${PROJECT_SOURCE_DIR})
  endif()
  target_compile_options(${name} PRIVATE -fno-gnu-unique)
  target_link_options(${name} PRIVATE -Wl,--version-script=${SKEP_CMAKE_DIR}/plugin.map
    -Wl,--exclude-libs,ALL)
  if(NOT SKEP_SANITIZE AND NOT SKEP_FUZZ)
    # The messages that a plugin does not use stay out of it.
    target_link_options(${name} PRIVATE -Wl,-z,defs -Wl,--gc-sections)
  endif()
  set_target_properties(${name} PROPERTIES PREFIX "" LIBRARY_OUTPUT_DIRECTORY ${SKEP_PLUGIN_DIR}
    CXX_VISIBILITY_PRESET hidden VISIBILITY_INLINES_HIDDEN ON POSITION_INDEPENDENT_CODE ON
    LINK_DEPENDS ${SKEP_CMAKE_DIR}/plugin.map)
endfunction()

# skep_add_conformance_test(NAME [ROOT] [ARGS --image ARCHIVE]): the suites of the plugin's kinds, through
# agent-plugin-host --verify; found beside the SDK, in PATH, or as SKEP_PLUGIN_HOST. ROOT: it needs root, as
# network drivers do.
function(skep_add_conformance_test name)
  cmake_parse_arguments(ARG "ROOT" "" "ARGS" ${ARGN})
  if(TARGET agent-plugin-host OR SKEP_CONFORMANCE_IN_TREE)
    set(host $<TARGET_FILE:agent-plugin-host>)
  else()
    find_program(SKEP_PLUGIN_HOST agent-plugin-host REQUIRED HINTS ${SKEP_SDK_BIN_DIR})
    set(host ${SKEP_PLUGIN_HOST})
  endif()
  add_test(NAME conformance_${name} COMMAND ${host} --verify $<TARGET_FILE:${name}> ${ARG_ARGS})
  set(labels conformance)
  if(ARG_ROOT)
    list(APPEND labels root)
  endif()
  set_tests_properties(conformance_${name} PROPERTIES LABELS "${labels}" TIMEOUT 300)
  if(COMMAND skep_sanitizer_time)
    skep_sanitizer_time(conformance_${name})
  endif()
endfunction()
