// The module fastnn.ops: the kernels as plain functions, and the state of the process they run in.
#include <cstdlib>

#include "../threads.h"
#include "arrays.h"

namespace fastnn {
namespace {

Isa isa_argument(const std::string& name) {
  Isa isa;
  if (!isa_from_name(name.c_str(), &isa)) {
    value_error("isa is '", name, "'; expected baseline, avx2, avx512 or neon");
  }
  if (!ops_for<float>(isa)) {
    value_error("isa is '", name, "', which this processor or this build does not have");
  }
  return isa;
}

std::vector<std::string> isas() {
  std::vector<std::string> names;
  for (const Isa isa : {Isa::baseline, Isa::avx2, Isa::avx512, Isa::neon}) {
    if (ops_for<float>(isa)) names.emplace_back(isa_name(isa));
  }
  return names;
}

// What the module cannot run on; and a misspelt variable must not pass for a setting that took
// effect.
void check_environment() {
  if (isas().empty()) {
    throw py::import_error("this build of fastnn has no kernels for this processor");
  }
  if (const char* name = std::getenv("FASTNN_ISA"); name && *name) {
    try {
      isa_argument(name);
    } catch (const py::value_error& error) {
      throw py::import_error(text("FASTNN_ISA: ", error.what()));
    }
  }
  if (const char* value = std::getenv("FASTNN_NUM_THREADS"); value && *value) {
    char* end = nullptr;
    const long n = std::strtol(value, &end, 10);
    if (*end || n < 1 || n > most_threads) {
      throw py::import_error(text("FASTNN_NUM_THREADS is '", value,
                                  "'; expected an integer from 1 to ", most_threads));
    }
  }
}

// Where the instruction set in use comes from.
const char* isa_source() {
  const char* asked = std::getenv("FASTNN_ISA");
  if (asked && std::string(asked) == isa_name(current_isa())) return "FASTNN_ISA";
  return current_isa() == detected_isa() ? "processor" : "set_isa";
}

py::dict info() {
  const ThreadReport threads = thread_report();
  py::dict d;
  d["version"] = FASTNN_VERSION;
  d["isa"] = isa_name(current_isa());
  d["isa_from"] = isa_source();
  d["isa_detected"] = isa_name(detected_isa());
  d["isas"] = isas();
  d["threads"] = threads.threads;
  d["threads_from"] = threads.reason;
  d["cpus_affinity"] = threads.affinity;
  d["cpus_cgroup_quota"] =
      threads.cgroup_quota > 0 ? py::object(py::float_(threads.cgroup_quota)) : py::none();
  d["openmp"] = threads.runtime;
  d["allocator"] = allocator_description();
  d["compiler"] = FASTNN_COMPILER;
  d["sanitizers"] = FASTNN_SANITIZE;
  d["cuda"] = false;
  return d;
}

py::dict memory() {
  const MemoryStats s = memory_stats();
  py::dict d;
  d["live_bytes"] = s.live_bytes;
  d["cached_bytes"] = s.cached_bytes;
  d["peak_bytes"] = s.peak_bytes;
  d["system_blocks"] = s.system_blocks;
  d["allocations"] = s.allocations;
  return d;
}

}  // namespace

PYBIND11_MODULE(ops, m) {
  m.doc() =
      "The kernels of fastnn as plain functions: arrays in (NumPy, buffers, DLPack), NumPy arrays "
      "out.";
  check_environment();
  bind_activation(m);
  bind_arithmetic(m);
  bind_layout(m);
  bind_sum(m);
  bind_augment(m);
  bind_batchnorm(m);
  bind_conv2d(m);
  bind_dropout(m);
  bind_embedding(m);
  bind_glu(m);
  bind_groupnorm(m);
  bind_gru(m);
  bind_layernorm(m);
  bind_linear(m);
  bind_local_response_norm(m);
  bind_loss(m);
  bind_lstm(m);
  bind_matmul(m);
  bind_maxout(m);
  bind_optimizer(m);
  bind_point_loss(m);
  bind_pool2d(m);
  bind_prelu(m);
  bind_random(m);
  bind_max_unpool2d(m);
  bind_pad2d(m);
  bind_upsample2d(m);
  bind_rnn(m);
  bind_rrelu(m);
  bind_softmax(m);
  bind_trace(m);

  m.def("memory_stats", &memory, "Counters of the caching allocator, in bytes.");
  m.def("empty_cache", &empty_cache,
        "Returns the allocator's free blocks to the operating system.");
  m.def("info", &info, "What this build and this process run on.");
  m.def("isa", [] { return isa_name(current_isa()); }, "The instruction set in use.");
  m.def("isas", &isas, "The instruction sets that this build and this processor have.");
  m.def(
      "set_isa", [](const std::string& name) { set_isa(isa_argument(name)); }, py::arg("isa"),
      "Chooses the instruction set for all later calls.");
  m.def("get_num_threads", &num_threads, "The number of threads that kernels use.");
  m.def(
      "set_num_threads",
      [](int threads) {
        if (threads < 1 || threads > most_threads) {
          value_error("set_num_threads: threads is ", threads, "; expected 1 to ", most_threads);
        }
        set_num_threads(threads);
      },
      py::arg("threads"), "Sets the number of threads that kernels use.");
}

}  // namespace fastnn
