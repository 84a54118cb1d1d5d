// SMOE Scale of a column in one read of it, and the combined map of several scales. See fused.py.
#include <ATen/Parallel.h>
#include <ATen/core/Tensor.h>
#include <ATen/ops/empty.h>
#include <ATen/ops/zeros.h>
#include <torch/csrc/utils/pybind.h>

#include <algorithm>
#include <cmath>
#include <cstdint>
#include <cstring>
#include <tuple>
#include <vector>

namespace {

constexpr int64_t kTile = 2048;  // locations at once: sums, exponents and mantissas of so many stay in the first cache

inline int32_t bits(float value) {
  int32_t out;
  std::memcpy(&out, &value, 4);
  return out;
}

inline float number(int32_t value) {
  float out;
  std::memcpy(&out, &value, 4);
  return out;
}

// A sum of logarithms is a sum of exponents and the logarithm of a product of mantissas, each of which is in [1, 2):
// one logarithm a location instead of one a channel.
float tile(const float* x, float* out, int64_t channels, int64_t stride, float epsilon, int64_t n) {
  float sum[kTile], mantissa[kTile];
  float lowest = 0;
  int32_t exponent[kTile];
  std::fill(sum, sum + n, 0.f);
  std::fill(mantissa, mantissa + n, 1.f);
  std::fill(exponent, exponent + n, 0);
  for (int64_t c = 0; c < channels; c++) {
    const float* row = x + c * stride;
    for (int64_t i = 0; i < n; i++) {
      lowest = std::min(lowest, row[i]);
      const float value = std::max(row[i], 0.f) + epsilon;
      sum[i] += value;
      const int32_t b = bits(value);
      exponent[i] += (b >> 23) - 127;
      mantissa[i] *= number((b & 0x007fffff) | 0x3f800000);
    }
    if (c % 64 == 63) {  // the product is below 2 ** 64 so far
      for (int64_t i = 0; i < n; i++) {
        const int32_t b = bits(mantissa[i]);
        exponent[i] += (b >> 23) - 127;
        mantissa[i] = number((b & 0x007fffff) | 0x3f800000);
      }
    }
  }
  for (int64_t i = 0; i < n; i++) {
    const float mean = sum[i] / channels;
    out[i] = mean * (std::log2(mean) - (exponent[i] + std::log2(mantissa[i])) / channels);
  }
  return lowest;
}

struct Ends {  // the two neighbours of a pixel along one axis, and the weight of the second
  std::vector<int64_t> first, second;
  std::vector<float> weight;
  Ends(int64_t from, int64_t to) : first(to), second(to), weight(to) {
    for (int64_t i = 0; i < to; i++) {
      const double place = std::max((i + 0.5) * from / to - 0.5, 0.0);
      first[i] = std::min<int64_t>(place, from - 1);
      second[i] = std::min(first[i] + 1, from - 1);
      weight[i] = place - first[i];
    }
  }
};

}  // namespace

std::tuple<at::Tensor, double> smoe_scale(const at::Tensor& activation, double epsilon) {
  const auto x = activation.contiguous();
  const int64_t batch = x.size(0), channels = x.size(1), area = x.size(2) * x.size(3);
  auto out = at::empty({batch, 1, x.size(2), x.size(3)}, x.options());
  const float* from = x.data_ptr<float>();
  float* to = out.data_ptr<float>();
  const int64_t share = (area + at::get_num_threads() - 1) / at::get_num_threads();
  const int64_t size = std::clamp<int64_t>((share + 15) / 16 * 16, 16, kTile);
  const int64_t tiles = (area + size - 1) / size;
  std::vector<float> lowest(batch * tiles, 0.f);
  at::parallel_for(0, batch * tiles, 1, [&](int64_t begin, int64_t end) {
    for (int64_t t = begin; t < end; t++) {
      const int64_t image = t / tiles, start = t % tiles * size;
      lowest[t] = tile(from + image * channels * area + start, to + image * area + start, channels, area, epsilon,
                       std::min(size, area - start));
    }
  });
  return {out, lowest.empty() ? 0.0 : *std::min_element(lowest.begin(), lowest.end())};
}

at::Tensor combine(const std::vector<at::Tensor>& maps, const std::vector<double>& weights, int64_t height,
                      int64_t width) {
  const int64_t batch = maps[0].size(0);
  auto out = at::zeros({batch, 1, height, width}, maps[0].options());
  double total = 0;
  for (double weight : weights) total += weight;
  for (size_t k = 0; k < maps.size(); k++) {
    if (weights[k] == 0) continue;
    const auto scale = maps[k].contiguous();
    const int64_t h = scale.size(2), w = scale.size(3), n = h * w;
    const Ends rows(h, height), columns(w, width);
    const float share = weights[k] / total;
    for (int64_t image = 0; image < batch; image++) {
      const float* s = scale.data_ptr<float>() + image * n;
      double sum = 0, squares = 0;
      for (int64_t i = 0; i < n; i++) sum += s[i];
      const double mean = sum / n;
      for (int64_t i = 0; i < n; i++) squares += (s[i] - mean) * (s[i] - mean);
      const double variance = n > 1 ? squares / (n - 1) : 0;
      const double rounding = 1.1920929e-07 * mean;
      const bool flat = variance <= 4 * rounding * rounding;
      const float slope = flat ? 0 : std::sqrt(0.5 / variance), middle = mean;
      std::vector<float> squashed(n);
      at::parallel_for(0, n, 512, [&](int64_t begin, int64_t end) {
        for (int64_t i = begin; i < end; i++) squashed[i] = 0.5f * share * (1 + std::erf((s[i] - middle) * slope));
      });
      float* to = out.data_ptr<float>() + image * height * width;
      at::parallel_for(0, height, 16, [&](int64_t begin, int64_t end) {
        std::vector<float> row(w);
        for (int64_t y = begin; y < end; y++) {
          const float *above = &squashed[rows.first[y] * w], *below = &squashed[rows.second[y] * w];
          for (int64_t i = 0; i < w; i++) row[i] = above[i] + rows.weight[y] * (below[i] - above[i]);
          float* line = to + y * width;
          for (int64_t i = 0; i < width; i++) {
            const float left = row[columns.first[i]];
            line[i] += left + columns.weight[i] * (row[columns.second[i]] - left);
          }
        }
      });
    }
  }
  return out;
}

PYBIND11_MODULE(TORCH_EXTENSION_NAME, m) {
  m.def("smoe_scale", &smoe_scale);
  m.def("combine", &combine);
}
