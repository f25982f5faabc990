package its;

import java.io.IOException;
import java.io.UncheckedIOException;
import java.lang.reflect.Field;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.Properties;
import java.util.stream.Stream;
import org.junit.jupiter.api.extension.BeforeEachCallback;
import org.junit.jupiter.api.extension.ConditionEvaluationResult;
import org.junit.jupiter.api.extension.ExecutionCondition;
import org.junit.jupiter.api.extension.ExtensionContext;

/**
 * Gives each test a folder for files and logs of the processes that it starts, and its clusters of one broker a
 * transaction log that one broker can have: without it, no producer of theirs could use transactions, and we would wait
 * for that at each start. Leaves out tests that are listed as not expected to pass. JUnit finds this class as a service.
 */
public final class TestFolder implements BeforeEachCallback, ExecutionCondition {
    private static volatile Path current = Path.of(System.getProperty("crosscurrent.work"));

    @Override
    public ConditionEvaluationResult evaluateExecutionCondition(ExtensionContext context) {
        String list = System.getProperty("crosscurrent.leave.out", "");
        if (list.isEmpty() || context.getTestMethod().isEmpty()) {
            return ConditionEvaluationResult.enabled(null);
        }
        String name = context.getRequiredTestClass().getSimpleName() + "#" + context.getRequiredTestMethod().getName();
        try (Stream<String> lines = Files.lines(Path.of(list))) {
            return lines.map(line -> line.split("\\s+", 2))
                .filter(words -> name.matches(words[0].replace("*", ".*")))
                .findFirst()
                .map(words -> ConditionEvaluationResult.disabled(words[1]))
                .orElse(ConditionEvaluationResult.enabled(null));
        } catch (IOException e) {
            throw new UncheckedIOException(e);
        }
    }

    @Override
    public void beforeEach(ExtensionContext context) throws Exception {
        Path folder = Path.of(System.getProperty("crosscurrent.work"))
            .resolve(context.getRequiredTestClass().getSimpleName())
            .resolve(context.getRequiredTestMethod().getName());
        current = Files.createDirectories(folder);
        for (Class<?> type = context.getRequiredTestClass(); type != null; type = type.getSuperclass()) {
            for (Field field : type.getDeclaredFields()) {
                if (field.getName().endsWith("BrokerProps")) {
                    field.setAccessible(true);
                    Properties properties = (Properties) field.get(context.getRequiredTestInstance());
                    properties.put("transaction.state.log.replication.factor", "1");
                    properties.put("transaction.state.log.min.isr", "1");
                }
            }
        }
    }

    static Path current() {
        return current;
    }
}
