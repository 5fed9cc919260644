// An HTTP server with the routes of TestOurHTTPClient. It prints its port.
const http = require("http"), zlib = require("zlib");

const pause = (ms) => new Promise((done) => setTimeout(done, ms));

const routes = {
  "/hello": (req, res) => {
    res.setHeader("Content-Length", 5);
    res.end("hello");
  },
  "/chunked": (req, res) => {
    res.write("one ");
    res.write("two ");
    res.addTrailers({ "X-Sum": "3" });
    res.end("three");
  },
  "/gzip": (req, res) => {
    const text = "compressed ".repeat(1000);
    if (!/gzip/.test(req.headers["accept-encoding"])) return res.end(text);
    res.setHeader("Content-Encoding", "gzip");
    res.end(zlib.gzipSync(text));
  },
  "/etag": (req, res) => {
    res.setHeader("ETag", '"x"');
    if (req.headers["if-none-match"] === '"x"') {
      res.statusCode = 304;
      return res.end();
    }
    res.end("tagged");
  },
  "/echo": (req, res) => {
    const pieces = [];
    req.on("data", (p) => pieces.push(p));
    req.on("end", () => res.end(Buffer.concat(pieces)));
  },
  "/cut": (req, res) => {
    res.setHeader("Content-Length", 100);
    res.write("0123456789", () => res.socket.end());
  },
  "/cutchunks": (req, res) => {
    res.write("0123456789", () => res.socket.end());
  },
  "/slow": async (req, res) => {
    for (let i = 0; i < 5; i++) {
      res.write("piece ");
      await pause(20);
    }
    res.end();
  },
  "/until": (req, res) => {
    res.shouldKeepAlive = false;
    res.useChunkedEncodingByDefault = false;
    res.removeHeader("Transfer-Encoding");
    res.end("until the end");
  },
  "/hints": (req, res) => {
    res.writeEarlyHints({ link: "</a.css>; rel=preload" });
    res.end("hinted");
  },
};

const server = http.createServer((req, res) => (routes[req.url] || ((_, res) => res.writeHead(404).end()))(req, res));
server.listen(0, "127.0.0.1", () => console.log(server.address().port));
process.stdin.resume();
process.stdin.on("end", () => process.exit());
