// Charts in the colours of the page. Chart.js is loaded as a script of its own: window.Chart.

const token = (name) => getComputedStyle(document.documentElement).getPropertyValue(name).trim();

/** Eight colours that can be told apart, also by people who see fewer. */
export const palette = () => [1, 2, 3, 4, 5, 6, 7, 8].map((n) => token(`--series-${n}`));

export function colours() {
  return { text: token("--muted"), grid: token("--line"), surface: token("--surface"), series: palette() };
}

/** Makes a chart that stays until `destroy()`. `config`: Chart.js', whose options are laid over the page's. */
export function draw(canvas, config) {
  const { Chart } = window;
  const look = colours();
  Chart.defaults.color = look.text;
  Chart.defaults.borderColor = look.grid;
  Chart.defaults.font.family = getComputedStyle(document.body).fontFamily;
  Chart.defaults.font.size = 12;
  const options = {
    responsive: true,
    maintainAspectRatio: false,
    animation: false,
    plugins: { legend: { display: false }, ...config.options?.plugins },
  };
  return new Chart(canvas, { ...config, options: { ...config.options, ...options } });
}
