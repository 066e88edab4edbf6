fn write_down(record: &mut gateway::audit::AuditRecord, prompt: gateway::Plaintext<&'static str>) {
    record.wire = prompt;
}

fn main() {}
