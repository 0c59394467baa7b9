// How things look, for all charts alike. Plotly takes text for markup of its own, so all names go through `plain`.

export const plain = (text) => String(text).replace(/&/g, "&amp;").replace(/</g, "&lt;").replace(/>/g, "&gt;");

export const shown = (setting) => {
  if (setting === null || setting === undefined) return "-";
  if (typeof setting === "number") return String(Number(setting.toPrecision(4)));
  return typeof setting === "object" ? JSON.stringify(setting) : String(setting);
};

/** A colour of the page's style by its name, such as `soft`. */
export const ink = (name) => getComputedStyle(document.documentElement).getPropertyValue(`--${name}`).trim();

/** The colour and the shape of the thing with this place among others. `look` is the server's, as pictures have it. */
export function styled(look, index) {
  const colours = matchMedia("(prefers-color-scheme: dark)").matches ? look.lighter : look.colours;
  return { colour: colours[index % colours.length], shape: look.shapes[index % look.shapes.length] };
}

/** The layout that all charts share. On a narrow screen the legend lies below, and a swipe scrolls the page. */
export function frame(element, names) {
  const narrow = element.clientWidth < 640;
  const title = (text) => ({ text: plain(text), font: { size: narrow ? 10 : 13 } });
  const axis = { gridcolor: ink("line"), zeroline: false, linecolor: ink("line"), automargin: true };
  return {
    paper_bgcolor: ink("paper"), plot_bgcolor: ink("paper"), font: { color: ink("ink"), size: narrow ? 11 : 13 },
    margin: narrow ? { l: 44, r: 8, t: 30, b: 40 } : { l: 60, r: 20, t: 30, b: 56 },
    hovermode: "closest", dragmode: narrow ? false : "zoom",
    xaxis: { ...axis, title: title(names.x) }, yaxis: { ...axis, title: title(names.y) },
    legend: { bgcolor: "rgba(0,0,0,0)", itemsizing: "constant", ...(narrow ? { orientation: "h", y: -0.22 } : { y: 0.94 }) },
    hoverlabel: { align: "left", bgcolor: ink("shade"), bordercolor: ink("soft"), font: { color: ink("ink") } },
  };
}

/** What all charts share beside their layout. The wheel stays the page's, so that no chart is a trap for whoever scrolls. */
export const CONFIG = { displaylogo: false, responsive: true, scrollZoom: false, modeBarButtonsToRemove: ["lasso2d", "select2d", "autoScale2d"] };

let loading;

/** Plotly, whose script is large: it is asked for when data is on its way, so that the two are not waited for in turn. */
export function plotly() {
  loading ??= new Promise((resolve, reject) => {
    const script = document.createElement("script");
    script.src = "assets/vendor/plotly-basic.min.js";
    script.onload = () => resolve(window.Plotly);
    script.onerror = () => reject(new Error("plotly-basic.min.js: not served; reload the page"));
    document.head.append(script);
  });
  return loading;
}
