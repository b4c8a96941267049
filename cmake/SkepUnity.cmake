# Unity builds: several sources of one target as one translation unit, so that what headers and
# templates cost is paid once. For trees that are built whole and once (the sanitizers in CI), not for
# daily work: a change of one file compiles its whole group. cmake/unity_groups.py keeps files apart
# that use one private name.
function(skep_use_unity target)
  if(NOT SKEP_UNITY)
    return()
  endif()
  get_target_property(sources ${target} SOURCES)
  set(files)
  foreach(source IN LISTS sources)
    get_filename_component(file ${source} ABSOLUTE BASE_DIR ${CMAKE_CURRENT_SOURCE_DIR})
    if(file MATCHES "\\.cc$" AND EXISTS ${file} )
      list(APPEND files ${file})
    endif()
  endforeach()
  if(NOT files)
    return()
  endif()
  execute_process(COMMAND ${Python3_EXECUTABLE} ${SKEP_CMAKE_DIR}/unity_groups.py 12 ${files}
    OUTPUT_VARIABLE groups COMMAND_ERROR_IS_FATAL ANY)
  foreach(file group IN ZIP_LISTS files groups)
    set_property(SOURCE ${file} PROPERTY UNITY_GROUP g${group})
  endforeach()
  set_target_properties(${target} PROPERTIES UNITY_BUILD ON UNITY_BUILD_MODE GROUP)
  # What these say is about several files of one project, not about ours.
  target_compile_options(${target} PRIVATE -Wno-subobject-linkage -Wno-unused-function)
endfunction()
