-- wrk -s wrk.lua URL -- FILE ACCEPT: asks for the paths of FILE in turn; prints requests/s and latencies in ms.
local paths, n = {}, 0
function init(arguments)
  for line in io.lines(arguments[1]) do paths[#paths + 1] = line end
  wrk.headers["Accept"] = arguments[2]
end
function request()
  n = n % #paths + 1
  return wrk.format("GET", paths[n])
end
function done(summary, latency)
  local e = summary.errors
  io.write(string.format("RESULT %.1f %.3f %.3f %.1f %d\n", summary.requests / summary.duration * 1e6,
    latency:percentile(50) / 1000, latency:percentile(95) / 1000, summary.bytes / summary.duration, e.status + e.read + e.timeout + e.connect))
end
