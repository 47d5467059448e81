// A web server that says of each request what it has answered: `served METHOD PATH STATUS`.
const http = require("http");

const server = http.createServer((request, response) => {
  const path = request.url.split("?")[0];
  const answer = (status, body) => {
    response.statusCode = status;
    response.end(body);
    console.log(`served ${request.method} ${path} ${status}`);
  };
  let length = 0;
  request.on("data", (part) => (length += part.length));
  request.on("end", () => {
    if (path === "/small") answer(200, "small\n");
    else if (path === "/large") answer(200, Buffer.alloc(1_000_000));
    else if (path === "/pieces") {
      // Without a length, so in chunks.
      for (let number = 0; number < 10; number++) response.write(`piece ${number}\n`);
      answer(200);
    } else if (path === "/upload") answer(201, `${length}\n`);
    else if (path === "/broken") answer(500, "broken\n");
    else answer(404, "no\n");
  });
});
server.listen(0, "127.0.0.1", () => console.log("port", server.address().port));
