#pragma once

// "did you mean" for unknown commands, flags, fields and functions.

#include <string>
#include <string_view>
#include <vector>

namespace skep::ctl {

/// Letters to insert, delete, replace or swap with a neighbour to turn `a` into `b`.
std::size_t edit_distance(std::string_view a, std::string_view b);

/// ", did you mean 'X'?" for the nearest known word, or "" when none is near (more than a third
/// of the letters differ).
std::string did_you_mean(std::string_view word, const std::vector<std::string_view>& known);

/// "type, source, target": for sentences that say which words there are.
std::string comma_list(const std::vector<std::string_view>& words);

}  // namespace skep::ctl
