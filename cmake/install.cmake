# cmake --install: the program, the public headers and the libraries behind find_package(mynah) -> mynah::mynah.
include(CMakePackageConfigHelpers)
add_library(mynah INTERFACE)
target_link_libraries(mynah INTERFACE mynah_train mynah_tasks)
install(TARGETS mynah mynah_base mynah_kernels mynah_tensor mynah_autograd mynah_ops mynah_nn mynah_formats mynah_text mynah_media mynah_models
                mynah_store mynah_bundle mynah_generate mynah_data mynah_train mynah_tasks
        EXPORT mynah_targets ARCHIVE DESTINATION ${CMAKE_INSTALL_LIBDIR})
install(EXPORT mynah_targets NAMESPACE mynah:: DESTINATION ${CMAKE_INSTALL_LIBDIR}/cmake/mynah FILE mynahTargets.cmake)
configure_package_config_file(${CMAKE_SOURCE_DIR}/cmake/mynahConfig.cmake.in ${CMAKE_BINARY_DIR}/mynahConfig.cmake
                              INSTALL_DESTINATION ${CMAKE_INSTALL_LIBDIR}/cmake/mynah)
write_basic_package_version_file(${CMAKE_BINARY_DIR}/mynahConfigVersion.cmake COMPATIBILITY SameMinorVersion)
install(FILES ${CMAKE_BINARY_DIR}/mynahConfig.cmake ${CMAKE_BINARY_DIR}/mynahConfigVersion.cmake
        DESTINATION ${CMAKE_INSTALL_LIBDIR}/cmake/mynah)
install(DIRECTORY ${CMAKE_SOURCE_DIR}/include/mynah DESTINATION ${CMAKE_INSTALL_INCLUDEDIR})
install(FILES ${CMAKE_SOURCE_DIR}/models/tiny.gguf ${CMAKE_SOURCE_DIR}/models/README.md DESTINATION ${CMAKE_INSTALL_DATADIR}/mynah/models)
install(TARGETS mynah_app RUNTIME DESTINATION ${CMAKE_INSTALL_BINDIR})
