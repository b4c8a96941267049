#pragma once

namespace skep::agentd {
/// Of agentd and agentctl; the CHANGELOG's newest heading.
inline constexpr const char* kVersion = "0.1.0";
}  // namespace skep::agentd
