#include "plot_canvas.h"

#include <fmt/core.h>

#include <cmath>

#include "base/file.h"
#include "base/require.h"

namespace mynah::app {
namespace {

std::string escaped(const std::string& text) {
  std::string out;
  for (const char c : text) out += c == '<' ? "&lt;" : c == '&' ? "&amp;" : c == '>' ? "&gt;" : std::string(1, c);
  return out;
}

class Vectors : public Canvas {
 public:
  Vectors(double width, double height)
      : svg_(fmt::format("<svg xmlns=\"http://www.w3.org/2000/svg\" width=\"{0}\" height=\"{1}\" viewBox=\"0 0 {0} {1}\" font-family=\"sans-serif\" font-size=\"12\">\n"
                         "<rect width=\"100%\" height=\"100%\" fill=\"white\"/>\n",
                         width, height)) {}
  void line(const std::vector<std::pair<double, double>>& points, double thickness, const media::Color& color) override {
    std::string path;
    for (const auto& [x, y] : points) path += fmt::format("{}{:.1f} {:.1f}", path.empty() ? "M" : "L", x, y);
    svg_ += fmt::format("<path d=\"{}\" fill=\"none\" stroke=\"{}\" stroke-width=\"{}\"/>\n", path, name(color), thickness);
  }
  void text(double x, double y, Anchor anchor, const std::string& text, const media::Color& color, bool bold) override {
    const char* where = anchor == Anchor::start ? "start" : anchor == Anchor::middle ? "middle" : "end";
    svg_ += fmt::format("<text x=\"{:.1f}\" y=\"{:.1f}\" text-anchor=\"{}\" fill=\"{}\"{}>{}</text>\n", x, y, where, name(color), bold ? " font-weight=\"bold\"" : "", escaped(text));
  }
  void write(const std::filesystem::path& path) const override {
    AtomicFile file(path);
    file.write(svg_ + "</svg>\n");
    file.commit();
  }

 private:
  static std::string name(const media::Color& c) { return fmt::format("#{:02x}{:02x}{:02x}", c[0], c[1], c[2]); }
  std::string svg_;
};

class Pixels : public Canvas {
 public:
  static constexpr double kScale = 2;  // pixels of a unit

  Pixels(double width, double height) {
    image_.width = static_cast<int64_t>(width * kScale);
    image_.height = static_cast<int64_t>(height * kScale);
    image_.rgb.assign(static_cast<size_t>(image_.width * image_.height * 3), 255);
  }
  void line(const std::vector<std::pair<double, double>>& points, double thickness, const media::Color& color) override {
    std::vector<std::pair<double, double>> scaled;
    for (const auto& [x, y] : points) scaled.emplace_back(x * kScale, y * kScale);
    media::draw_line(image_, scaled, thickness * kScale, color);
  }
  void text(double x, double y, Anchor anchor, const std::string& text, const media::Color& color, bool) override {
    const auto scale = static_cast<int64_t>(kScale);
    const double width = static_cast<double>(media::text_width(text, scale)), share = anchor == Anchor::start ? 0 : anchor == Anchor::middle ? 0.5 : 1;
    media::draw_text(image_, std::lround(x * kScale - share * width), std::lround(y * kScale), text, scale, color);
  }
  void write(const std::filesystem::path& path) const override { media::write_image(path, image_); }

 private:
  media::Image image_;
};

}  // namespace

std::unique_ptr<Canvas> make_canvas(const std::filesystem::path& path, double width, double height) {
  const std::string ending = path.extension().string();
  if (ending == ".svg") return std::make_unique<Vectors>(width, height);
  if (ending == ".png" || ending == ".jpg" || ending == ".jpeg") return std::make_unique<Pixels>(width, height);
  fail(ErrorCode::usage, "--output: \"{}\", expected a name that ends in .svg, .png or .jpg", path.string());
}

}  // namespace mynah::app
