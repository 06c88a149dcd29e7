// nginx, one worker, nothing but a reverse proxy: what moving the bytes costs without looking at them.

import { spawnSync } from "node:child_process";
import { existsSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { work } from "../lib/files.mjs";
import { accepts, freePort, run, start as spawn, stop, until } from "../lib/process.mjs";

export const id = "nginx";
export const title = "nginx";
export const note = "a plain reverse proxy, one worker: the floor of moving bytes";
export const cold = true;

const command = "/usr/sbin/nginx";

export function prepare() {
  if (existsSync(command)) return;
  run("apt-get", ["install", "-y", "-q", "nginx-light"], { env: { ...process.env, DEBIAN_FRONTEND: "noninteractive" } });
}

export async function start({ mock }) {
  const folder = work("build", id);
  const port = await freePort();
  writeFileSync(join(folder, "nginx.conf"), `
daemon off;
worker_processes 1;
pid ${folder}/nginx.pid;
error_log stderr;
events { worker_connections 1024; }
http {
  access_log off;
  client_body_temp_path ${folder}/client_body;
  proxy_temp_path ${folder}/proxy;
  client_max_body_size 16m;
  client_body_buffer_size 2m;
  keepalive_requests 1000000000;
  upstream mock { server 127.0.0.1:${mock.port}; keepalive 128; keepalive_requests 1000000000; }
  server {
    listen 127.0.0.1:${port};
    location / {
      proxy_pass http://mock;
      proxy_http_version 1.1;
      proxy_set_header Connection "";
      proxy_buffering off;
    }
  }
}
`);
  const child = spawn(id, command, ["-p", folder, "-c", join(folder, "nginx.conf")], { role: "target" });
  await until(child, id, () => accepts(port));
  const version = spawnSync(command, ["-v"], { encoding: "utf8" }).stderr.match(/nginx\/(\S+)/)[1];
  return { port, pid: child.pid, version, request: { path: "/v1/chat/completions", model: "bench-model" }, stop: () => stop(child) };
}
